import pytest

from tests.bench.samples import measurement
from vggbatch.bench.record import Record
from vggbatch.errors import UsageError

SETTINGS = {"inputs": ("a", "b"), "images": 10, "rounds": 1}


def test_goes_on_where_it_stopped(tmp_path):
    record = Record.open(tmp_path / "out", SETTINGS)
    record.keep_best("fp32", "bare", {"batch": 4, "sessions": 2})
    record.keep_prepare_seconds("fp32", 7.5)
    record.add(measurement("loop"))
    with (tmp_path / "out" / "measurements.jsonl").open("a") as file:
        file.write('{"round": 1, "network": "fp')  # killed in the middle of a line
    again = Record.open(tmp_path / "out", {**SETTINGS, "rounds": 3})
    assert again.measurements == record.measurements
    assert again.best == {"fp32": {"bare": {"batch": 4, "sessions": 2}}}
    assert again.prepare_seconds == {"fp32": 7.5}
    assert again.has(1, "fp32", "loop")
    assert not again.has(2, "fp32", "loop")
    again.add(measurement("daft"))
    assert len(Record.open(tmp_path / "out", SETTINGS).measurements) == 2


def test_another_benchmark_is_refused(tmp_path):
    Record.open(tmp_path, SETTINGS)
    with pytest.raises(UsageError, match="images was 10"):
        Record.open(tmp_path, {**SETTINGS, "images": 20})
