import pytest

from vggbatch.metrics import Metric
from vggbatch.report.formats import ClassName, duration, flat, metric_interval, metric_value, number


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.035, "0.035 s"),
        (59.9, "59.9 s"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (190_000, "2 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds, text):
    assert duration(seconds) == text


def test_a_class_line_is_taken_apart():
    cat = ClassName.of("n02123045 tabby, tabby cat")
    assert (cat.wnid, cat.short, cat.full) == ("n02123045", "tabby", "tabby, tabby cat")
    assert ClassName.of("cat") == ClassName("", "cat", "cat")


def test_metrics_have_their_units():
    top1 = Metric("x", "top1", 72.376, 71.0, 73.0, 100)
    failed = Metric("x", "error_rate", 0.00125, 0.001, 0.002, 100)
    nll = Metric("x", "nll", None, None, None, 0)
    assert (metric_value(top1, top1.value), metric_interval(top1)) == ("72.38 %", "71.00 to 73.00")
    assert metric_value(failed, failed.value) == "0.125 %"
    assert (metric_value(nll, nll.value), metric_interval(nll)) == (number(None), "")


def test_settings_are_dotted_and_those_without_a_value_left_out():
    settings = {"a": {"b": [1, 2], "c": None}, "d": True, "e": []}
    assert flat(settings) == [("a.b", "1, 2"), ("d", "yes")]
