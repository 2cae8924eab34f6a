import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.metrics import Metric
from vggbatch.report import charts
from vggbatch.report.scan import BINS, Scan


@given(st.floats(1e-6, 1e12))
def test_ticks_are_few_and_reach_the_top(top):
    ticks = charts.nice_ticks(top)
    assert ticks[0] == 0
    assert ticks[-1] >= top * (1 - 1e-6)
    assert 3 <= len(ticks) <= 7


@pytest.mark.parametrize(
    ("top", "ticks"), [(1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (93, range(0, 101, 20))]
)
def test_ticks_are_round(top, ticks):
    assert charts.nice_ticks(top) == pytest.approx(list(ticks))


def test_the_histogram_stacks_wrong_on_right():
    found = Scan(gallery=4)
    found.right[2], found.wrong[2] = 30, 10
    plot = charts.histogram(found)
    [right, wrong] = [bar for bar in plot.bars if bar.top > bar.bottom]
    assert (right.kind, right.left, right.bottom, right.top) == ("right", 100 * 2 / BINS, 0, 75)
    assert (wrong.kind, wrong.bottom, wrong.top) == ("wrong", 75, 100)
    assert plot.header == ("probability", "right", "wrong")
    assert plot.rows[2] == ("0.10 to 0.15", "30", "10")


def test_reliability_leaves_empty_bins_out():
    columns = {"bin_low": [0.0, 0.5], "bin_high": [0.5, 1.0], "n": [0, 100]}
    table = pa.table({**columns, "confidence": [None, 0.8], "accuracy": [None, 0.7]})
    plot = charts.reliability(table)
    [dot] = [line for line in plot.lines if line.kind == "dot"]
    assert (dot.x1, dot.y1) == (80, 70)
    [whisker] = [line for line in plot.lines if line.kind == "whisker"]
    # Wilson's interval of 70 of 100, from scipy.stats.binomtest(70, 100).proportion_ci
    assert (whisker.y1, whisker.y2) == pytest.approx((60.42, 78.11), abs=0.01)
    assert plot.rows[0] == ("0.00 to 0.50", "0", "", "", "")


def test_bins_lead_to_their_images_where_there_are_any():
    columns = {"bin_low": [0.0, 0.5], "bin_high": [0.5, 1.0], "n": [7, 100]}
    table = pa.table({**columns, "confidence": [0.2, 0.8], "accuracy": [0.1, 0.7]})
    plot = charts.reliability(table, {1})
    assert plot.links == [None, "bin1"]
    assert [line.link for line in plot.lines if line.kind == "dot"] == [None, "bin1"]


def test_accuracy_and_images_left_by_threshold():
    curve = {"coverage": [0.25, 0.5, 1.0], "risk": [0.0, 0.1, 0.3], "threshold": [0.9, 0.6, 0.2]}
    plot = charts.thresholds(pa.table(curve))
    kept, accuracy = plot.curves
    assert (kept.kind, kept.points) == ("kept", [(90, 25), (60, 50), (20, 100)])
    assert [y for _, y in accuracy.points] == pytest.approx([100, 90, 70])
    assert plot.rows == [
        ("25.0 %", "0.900", "100.00 %"),
        ("50.0 %", "0.600", "90.00 %"),
        ("100.0 %", "0.200", "70.00 %"),
    ]


def record(images, interval=1):
    return {"start": "", "interval_seconds": interval, "images": images}


def test_throughput_is_images_by_their_time():
    plot = charts.throughput(record([[second, 50] for second in range(20)]))
    assert [row[1] for row in plot.rows] == ["50.0"] * 20
    assert [bar.top for bar in plot.bars] == [100.0] * 20


def test_a_long_run_has_few_bars_and_the_same_mean():
    moments = [[8 * i, int(images)] for i, images in enumerate(np.arange(500) % 7 + 100)]
    plot = charts.throughput(record(moments, interval=8))
    assert 24 <= len(plot.bars) <= 48
    rates = [float(row[1]) for row in plot.rows]
    assert np.mean(rates) == pytest.approx(sum(n for _, n in moments) / 4000, rel=0.02)
    assert plot.rows[1][0] != "0"
    assert plot.x_ticks[-1].text.endswith(" min")


def test_bars_hold_several_of_the_chunks_that_come_now_and_then():
    plot = charts.throughput(record([[second, 16] for second in range(0, 120, 4)]))
    assert len(plot.bars) == 10
    assert {row[1] for row in plot.rows[:-1]} == {"4.0"}


def test_a_pause_of_an_interrupted_run_is_cut_out():
    moments = [[second, 10] for second in [*range(10), *range(5000, 5010)]]
    plot = charts.throughput(record(moments))
    assert "1 pause left out" in plot.label
    assert len(plot.bars) == 20
    assert {row[1] for row in plot.rows} == {"10.0"}


@pytest.mark.parametrize("recorded", [None, record([[0, 32], [1, 32]])])
def test_a_short_run_has_no_chart(recorded):
    assert charts.throughput(recorded) is None


def test_the_interval_and_the_published_value_share_a_scale():
    line = Metric("x", "top1", 72.0, 71.0, 73.0, 100, published=75.0, published_delta=-3.0)
    span = charts.span(line)
    assert 0 < span.low < span.value < span.high < span.published < 100
    assert span.high - span.low == pytest.approx(span.published - span.high)
    assert charts.span(Metric("x", "ece", 0.1, None, None, 100)) is None


def test_no_difference_is_in_the_middle():
    span = charts.difference_span(-1.0, 3.0, 1.0)
    assert span.published == 50
    assert 0 < span.low < 50 < span.value < span.high < 100
