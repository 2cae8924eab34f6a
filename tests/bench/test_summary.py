import json

import pyarrow.parquet as pq
import pytest

from tests.bench.samples import measurement
from vggbatch.bench.summary import Speedup, Spread, Summary, summarize

TITLES = {
    "bare": "bare onnxruntime",
    "prepared": "bare, prepared graph",
    "decoding": "decoding",
    "loop1": "loop",
    "vggbatch": "ours",
}


def summary(measurements) -> Summary:
    networks = list(dict.fromkeys(m.network for m in measurements))
    cores = dict.fromkeys(TITLES, 2)
    return summarize(measurements, networks=networks, cores=cores, titles=TITLES, facts={})


@pytest.fixture
def found() -> Summary:
    parts = [
        measurement("bare", whole=False, steady_rate=20.0, top1=[1, 2]),
        measurement("prepared", whole=False, steady_rate=22.0, top1=[1, 2]),
        measurement("decoding", whole=False, steady_rate=180.0, top1=[]),
    ]
    whole = [measurement("loop1", n, seconds=s) for n, s in ((1, 10.0), (2, 12.5), (3, 20.0))]
    ours = [measurement("vggbatch", n, steady_rate=17.0, top1=[1, 2, 3, 5]) for n in (1, 2)]
    failed = measurement("vggbatch", 3, error="out of memory", top1=[])
    return summary([*parts, *whole, *ours, failed])


def test_medians_and_spread(found):
    loop = found.line("fp32", "loop1")
    assert loop.rate == Spread(8.0, 5.0, 10.0)
    assert loop.per_core == 4.0
    assert loop.rounds == 3
    assert loop.ours_whole == pytest.approx(10 / 8)
    assert loop.ours_steady == pytest.approx(17 / 20)


def test_parts_have_no_whole_command(found):
    bare = found.line("fp32", "bare")
    assert bare.rate is None
    assert bare.per_core == 10.0
    assert bare.ours_whole is None
    assert bare.ours_steady == pytest.approx(0.85)


def test_limit(found):
    # 1 / (1/22 + 1/180), of the graph that is run
    limit = found.line("fp32", "limit")
    assert limit.steady.median == pytest.approx(1 / (1 / 22 + 1 / 180))
    assert limit.ours_steady == pytest.approx(17 * (1 / 22 + 1 / 180))
    assert summary([measurement("bare"), measurement("decoding")]).line("fp32", "limit") is None


def test_predictions_are_held_against_the_plain_loop(found):
    assert found.line("fp32", "bare").agreement == 1.0
    assert found.line("fp32", "decoding").agreement is None
    assert found.line("fp32", "vggbatch").agreement == 0.75


def test_failures_are_left_out_of_the_figures_and_told(found):
    ours = found.line("fp32", "vggbatch")
    assert ours.rounds == 2
    assert ours.error == "out of memory"


def test_int8_against_fp32():
    found = summary(
        [
            measurement("loop1"),
            measurement("loop1", network="int8", steady_rate=80.0),
            measurement("vggbatch", network="int8"),
        ]
    )
    assert found.speedups() == {"loop1": Speedup(whole=1.0, steady=4.0, rounds=1)}


def test_files(found, tmp_path):
    found.write(tmp_path)
    table = pq.read_table(tmp_path / "bench.parquet").to_pylist()
    lines = json.loads((tmp_path / "bench.json").read_text())["lines"]
    assert [row["system"] for row in table] == [line["system"] for line in lines]
    [loop] = [row for row in table if row["system"] == "loop1"]
    assert (loop["rate"], loop["rate_low"], loop["rate_high"]) == (8.0, 5.0, 10.0)
    assert lines[0]["steady"] == {"median": 20.0, "low": 20.0, "high": 20.0}
