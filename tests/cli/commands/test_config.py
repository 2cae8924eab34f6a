"""What `vggbatch config` shows, and what completes a command line."""

import json

from typer.testing import CliRunner

from vggbatch.cli import app, completion
from vggbatch.config.describe import json_schema, settings


def shown(*words):
    return CliRunner().invoke(app, ["config", *words])


def test_all_settings_are_shown():
    text = shown().stdout
    for one in settings():
        assert f"{one.key} = {one.default}" in text


def test_a_section_or_a_key():
    keys = [one["key"] for one in json.loads(shown("protocol", "model.name", "--json").stdout)]
    assert keys == ["protocol.views", "protocol.scales", "protocol.flip", "model.name"]
    assert shown("compute.pin").stdout.splitlines()[0].startswith("compute.pin = true")


def test_an_unknown_key_names_the_nearest():
    refused = shown("compute.actor")
    assert refused.exit_code != 0
    assert "did you mean 'compute.actors'?" in str(refused.exception)


def test_the_schema_is_printed():
    assert json.loads(shown("--schema").stdout) == json_schema()


def test_words_are_completed():
    assert completion.setting_names("comp")[0] == "compute"
    assert "compute.actors" in completion.setting_names("compute.")
    assert completion.assignments("compute.act") == ["compute.actors="]
    assert completion.assignments("compute.executor=l") == ["compute.executor=local"]
    assert completion.assignments("compute.pin=") == ["compute.pin=true", "compute.pin=false"]
    assert completion.assignments("model.name=") == []
    assert completion.label_assignments("c") == [
        "columns.file=",
        "columns.label=",
        "columns.bytes=",
    ]
    assert completion.profile_names("zo") == ["zoo"]
    assert "zoo,squash" in completion.profile_names("zoo,")
    assert "zoo,zoo" not in completion.profile_names("zoo,")


def test_the_version_is_short():
    assert CliRunner().invoke(app, ["-V"]).stdout.startswith("vggbatch ")
