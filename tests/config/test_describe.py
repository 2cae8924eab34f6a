"""Settings in words and as JSON Schema: complete, and true of what is accepted."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from vggbatch.config import JobConfig, known_keys, load_config
from vggbatch.config.describe import json_schema, section_meanings, settings
from vggbatch.errors import UsageError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_every_key_has_a_meaning_and_a_default():
    found = {one.key: one for one in settings()}
    sections = set(section_meanings())
    of_lists = ("ensemble.", "profiles.")  # parts of each of several, described once
    wanted = {key for key in known_keys(JobConfig) if not key.startswith(of_lists)} - sections
    assert set(found) == wanted
    assert all(one.meaning.endswith((".", ")")) for one in found.values())
    assert all(section_meanings().values())
    for one in found.values():
        assert json.loads(one.default) == yaml.safe_load(one.default)


def test_a_setting_in_words():
    found = {one.key: one for one in settings()}
    assert found["compute.micro_batch"].type == "integer, at least 1, at most 1,024"
    assert found["decode.timeout_s"].type == "number, above 0"
    assert found["compute.executor"].values == ["auto", "local", "ray"]
    assert found["compute.pin"].values == ["true", "false"]
    assert found["model.scores"].values == []
    assert found["mirrors"].type == "list of texts"
    assert found["compute.actors"].variable == "VGGBATCH_COMPUTE__ACTORS"


def test_defaults_and_variables_are_those_that_count():
    plain = load_config(environ={}).model_dump(mode="json")
    for one in settings():
        value = plain
        *parents, last = one.key.split(".")
        for part in parents:
            value = value[part] if value is not None else None
        if value is not None:
            assert json.loads(one.default) == value[last], one.key
    by_variable = load_config(environ={"VGGBATCH_COMPUTE__ACTORS": "3"})
    assert by_variable.compute.actors == 3


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("model: net.onnx", True),
        ("model: [a.onnx, b.onnx]", True),
        ("model: {name: net.onnx, preprocess: zoo}", True),
        ("model: {name: net.onnx, preprocess: {resize: 224}}", True),
        ("model: {nmae: net.onnx}", False),
        ("ensemble: [a.onnx, {name: b.onnx}]", True),
        ("profiles: zoo,squash", True),
        ("profiles: [zoo, squash]", True),
        ("profiles: {mine: {resize: 224}}", True),
        ("protocol: dense", True),
        ("protocol: {views: ten, scales: [256, 384]}", True),
        ("protocol: {scales: '256,384'}", True),
        ("protocol: everything", False),
        ("input: images", True),
        ("labels: [a.csv, b.csv]", True),
        ("mirrors: s3://bucket/zoo", True),
        ("compute: {actors: 0}", False),
        ("compute: {actor: 1}", False),
        ("max_error_rate: 2", False),
        ("features: float64", False),
        ("select: {sample: 10, seed: 7}", True),
    ],
)
def test_the_schema_admits_what_is_accepted_and_nothing_else(text, right, tmp_path):
    admitted = jsonschema.Draft202012Validator(json_schema()).is_valid(yaml.safe_load(text))
    (tmp_path / "job.yaml").write_text(text)
    try:
        load_config(tmp_path / "job.yaml", environ={})
        accepted = True
    except UsageError:
        accepted = False
    assert (admitted, accepted) == (right, right)


def test_ready_made_configurations_name_the_schema_and_follow_it():
    kept = json.loads((CONFIGS / "job.schema.json").read_text())
    again = "settings have changed: vggbatch config --schema > configs/job.schema.json"
    assert kept == json_schema(), again
    jsonschema.Draft202012Validator.check_schema(kept)
    for path in CONFIGS.glob("*.yaml"):
        head, *_ = path.read_text().splitlines()
        assert head == "# yaml-language-server: $schema=job.schema.json"
        jsonschema.validate(yaml.safe_load(path.read_text()), kept)
