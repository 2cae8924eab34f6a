"""YAML from outside costs no more than its size, and every fault in it is a ValueError."""

import pytest

from vggbatch.config import load_config
from vggbatch.config.yaml_text import MAX_BYTES, parse_yaml
from vggbatch.errors import UsageError

LAUGHS = "\n".join(
    ["a: &a [x, x]"]
    + [f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)]
)
HOSTILE = {
    "deep lists": "[" * 5000,
    "deep mappings": "{a: " * 1000 + "1" + "}" * 1000,
    "deep blocks": "- " * 1000 + "1",
    "aliases": LAUGHS,
    "too long": "#" * (MAX_BYTES + 1),
    "a month that is none": "2020-13-45",
    "digits without end": "1" * 5000,
    "a tag that does not fit": "!!float [1]",
    "a tag of Python's": "!!python/object/apply:os.system [true]",
    "a null byte": "a: \0",
    "an unhashable key": "{[a]: b}",
    "a key that is there twice": "a: 1\nb: 2\na: 3",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_yaml(text)


def test_plain_yaml_is_what_it_was():
    assert parse_yaml("a: [1, 2.5, yes, null]\nb: {c: x}") == {
        "a": [1, 2.5, True, None],
        "b": {"c": "x"},
    }


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_settings_are_usage_errors(tmp_path, text):
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match="valid YAML"):
        load_config(file, environ={})
    with pytest.raises(UsageError):
        load_config(settings=[f"decode.max_pixels={text}"], environ={})
