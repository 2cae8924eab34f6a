import os

import pytest

from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.output.recordable import check_recordable

BYTES = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("named", [BYTES, [BYTES], {"a": {"b": ["c", BYTES]}}, ("x", BYTES)])
def test_a_name_that_is_not_text_is_refused(named):
    with pytest.raises(UsageError, match=r"caf.*e9.* is not UTF-8, .*: rename it, or name a link"):
        check_recordable(named)


def test_all_other_names_are_taken(net):
    check_recordable({"a": ["b", "ü", "日本", "\n"], "c": None, "d": 1, "e": ("f",)})


@pytest.mark.parametrize("key", ["input", "output", "labels", "model"])
def test_a_job_with_such_a_name_is_refused_before_anything_is_written(tmp_path, net, key):
    options = {"input": "images", "output": str(tmp_path / "out"), "model": str(net)}
    options |= {"labels": ["labels.csv"]}
    value = str(tmp_path / BYTES)
    options[key] = [value] if key == "labels" else value
    with pytest.raises(UsageError, match="is not UTF-8"):
        api.evaluate(options.pop("input"), **options)
    assert list(tmp_path.iterdir()) == []


def test_rescored_metrics_with_such_a_name_are_refused(tmp_path):
    (tmp_path / "predictions").mkdir()
    with pytest.raises(UsageError, match="is not UTF-8"):
        api.rescore(str(tmp_path), "embedded", str(tmp_path / BYTES))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions"]
