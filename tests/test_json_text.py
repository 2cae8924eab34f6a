"""JSON and literals of others: any fault in them is one kind of error."""

import ast
from pathlib import Path

import pytest

import vggbatch
from vggbatch import class_list, json_text
from vggbatch.errors import UsageError
from vggbatch.output.documents import metadata
from vggbatch.sources.tables import columns

DEEP = ("[" * 200_000, '{"a":' * 100_000, "[" * 200_000 + "]" * 200_000)


@pytest.mark.parametrize("text", DEEP)
def test_too_deep(text):
    with pytest.raises(ValueError, match="nested too deeply"):
        json_text.parse(text)
    with pytest.raises(ValueError, match="nested too deeply"):
        json_text.parse(text.encode(), dict)


def test_objects_are_made_by_the_caller():
    assert json_text.parse('{"a": 1, "a": 2}', list) == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(
    "text", ["(" * 50_000, "-" * 100_000 + "1", "{" * 5000, "{[]: 1}", "\0", "__import__('os')"]
)
def test_no_literal(text):
    with pytest.raises(ValueError, match="no literal"):
        json_text.literal(text)


def test_a_literal():
    assert json_text.literal("{0: 'tench'}") == {0: "tench"}


def test_nothing_else_reads_them():
    """Documents of others go through here; the rest is what a process has written for itself."""
    own = {"json_text.py", "isolated.py", "entry.py", "switch.py", "verify.py"}
    root = Path(vggbatch.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] == "bench":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("loads", "literal_eval"):
                module = getattr(node.value, "id", "")
                if module in ("json", "ast"):
                    found.add(path.name)
    assert found == own


@pytest.mark.parametrize("text", DEEP[:2], ids=["lists", "objects"])
def test_nesting_without_end_is_one_line_wherever_json_is_read(text):
    for read in (
        json_text.parse,
        lambda text: columns.read(text.encode(), "labels.csv"),
        lambda text: class_list.parse(text.encode()),
    ):
        with pytest.raises(ValueError, match="nested too deeply"):
            read(text)
    with pytest.raises(UsageError, match="nested too deeply"):
        metadata.known(text.encode(), "run.json")


def test_no_list_of_classes_is_a_value_error():
    with pytest.raises(ValueError, match="not valid JSON"):
        class_list.parse(b"{[1]: 2}")
