"""Tables as they stand on the terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pyarrow as pa
from rich.console import Console

from vggbatch.cli.comparison_tables import _accuracies
from vggbatch.cli.tables import render, render_profiles
from vggbatch.metrics import Evaluation, LabelSetResult, Metric
from vggbatch.metrics.comparison.compare import PairedAccuracy

NONE = pa.table({})


def printed(*results: LabelSetResult) -> str:
    out = io.StringIO()
    Console(file=out, width=90).print(render(Evaluation(list(results))))
    return out.getvalue()


def result(name: str, *metrics: Metric, notes: tuple[str, ...] = ()) -> LabelSetResult:
    return LabelSetResult(name, list(metrics), list(notes), NONE, NONE, NONE)


def test_a_value_stands_beside_its_interval_and_the_published_one():
    top1 = Metric("val [1]", "top1", 71.25, 70.9, 71.6, 50_000, 72.38, -1.13)
    rate = Metric("val [1]", "error_rate", 0.0004, 0.0002, 0.0006, 50_000)
    text = printed(result("val [1]", top1, rate, notes=("far off [it is]",)))
    title, _, _, first, second, note, *_ = text.splitlines()
    assert title.strip() == "val [1]"
    assert " ".join(first.split()) == "top1 % 71.25 70.90 - 71.60 50,000 72.38 ! -1.13"
    assert " ".join(second.split()) == "error_rate % 0.040 0.020 - 0.060 50,000"
    assert note == "val [1]: far off [it is]"


def test_label_sets_stand_apart():
    unknown = Metric("a", "nll", None, None, None, 3)
    lines = printed(result("a", unknown), result("b", unknown)).splitlines()
    at = lines.index(next(line for line in lines if line.strip() == "b"))
    assert lines[at - 1].strip() == ""
    assert lines[at - 2].split() == ["nll", "-", "3"]
    assert lines[-1].split() == ["nll", "-", "3"]


def test_of_several_profiles_the_nearest_to_the_published_accuracy_is_named():
    def line(metric: str, value: float, published: float) -> Metric:
        return Metric(
            "val", metric, value, value - 1, value + 1, 5000, published, value - published
        )

    squashed = result("val", line("top1", 72.5, 72.62), line("top5", 91.1, 91.14))
    shorter = result("val", line("top1", 74.9, 72.62), line("top5", 92.0, 91.14))
    profiles = {"zoo": Evaluation([shorter]), "gluon256": Evaluation([squashed])}
    out = io.StringIO()
    Console(file=out, width=200).print(render_profiles(profiles))
    assert (
        "val: nearest to the published top1: gluon256 (-0.12 points); published values inside the "
        "95 % intervals of gluon256"
    ) in out.getvalue()
    unknown = {name: Evaluation([result("val")]) for name in profiles}
    out = io.StringIO()
    Console(file=out, width=200).print(render_profiles(unknown))
    assert "nearest" not in out.getvalue()


def test_a_comparison_fits_eighty_columns():
    def line(metric):
        return PairedAccuracy(
            metric, 50000, 90, 81.5, -8.5, -13.48, -3.89, 20, 3, 4.88e-10, 2.7e-10
        )

    console = Console(width=80, file=io.StringIO())
    console.print(_accuracies(SimpleNamespace(accuracies=[line("top1"), line("top5")])))
    shown = console.file.getvalue()
    assert [row.split()[0] for row in shown.splitlines()[2:]] == ["top1", "top5"]
    assert "2.7e-10" in shown
