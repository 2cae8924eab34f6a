"""The page that compares two runs image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vggbatch.metrics.comparison.compare import Comparison, PairedAccuracy, compare_runs
from vggbatch.metrics.comparison.disagreement import wrong_differently
from vggbatch.metrics.rescore import open_source
from vggbatch.metrics.rows import Outputs
from vggbatch.metrics.sets import label_sets
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.report import charts
from vggbatch.report.example import Example
from vggbatch.report.formats import flat
from vggbatch.report.output import RunOutput, open_output
from vggbatch.report.page import render
from vggbatch.report.run import GALLERY
from vggbatch.report.scan import find
from vggbatch.report.thumbnails import thumbnails
from vggbatch.storage.filesystem import Folder

COMPARISON = "comparison.html"

_SETTINGS = ("model", "ensemble", "preprocess", "protocol", "versions", "placement")
"""Parts of run.json that may explain a difference."""


@dataclass(frozen=True)
class Parted:
    """An image that the runs see differently: the row of the first, and what the second says."""

    example: Example
    index: int | None
    """First prediction of the second run; None where it could not score the image."""
    probability: float | None


@dataclass(frozen=True)
class Change:
    """A metric of both runs."""

    metric: str
    a: float
    b: float

    @property
    def change(self) -> float:
        """From the first to the second."""
        return self.b - self.a


def write_comparison(
    a: Folder,
    b: Folder,
    *,
    classes: str | None = None,
    gallery: int = GALLERY,
    images: Sequence[str] = (),
) -> str:
    """Write comparison.html into the second of two outputs.

    Args:
        a: output of the reference run.
        b: output of the other run.
        classes: the network's class file, where it is not the project's.
        gallery: images in each gallery.
        images: where images may be read, see `thumbnails`.

    Returns:
        The page's URI.

    Raises:
        UsageError: a run is not finished, or they have no image in common.
    """
    open_output(b, images)  # whatever is wrong with it comes before its lease
    with OutputLease(b) as lease:
        first, second = open_output(a, images), open_output(b, images)
        with first.reading(), second.reading():
            page = comparison_page(first, second, classes=classes, gallery=gallery, images=images)
        lease.fence.write_bytes(COMPARISON, page.encode())
        lease.fence.check()  # in a store another run may have come while it was sent
    return f"{b.uri}/{COMPARISON}"


def comparison_page(
    a: RunOutput,
    b: RunOutput,
    *,
    classes: str | None = None,
    gallery: int = GALLERY,
    images: Sequence[str] = (),
) -> str:
    """The page as HTML."""
    lines, _ = (_class_lines(run, classes) for run in (a, b))
    [labels] = label_sets(["embedded"], a.predictions, lines)
    compared = compare_runs(a.predictions, b.predictions, labels, class_lines=lines)
    galleries = _galleries(compared, gallery)
    rows = [row for _, table, _ in galleries for row in table.to_pylist()]
    examples = find(a.predictions, labels, [row["image_id"] for row in rows])
    return render(
        "comparison.html",
        a=a,
        b=b,
        compared=compared,
        accuracies=[(line, _span(line)) for line in compared.accuracies],
        changes=_changes(a, b, compared),
        # of one image a class moves by all or nothing
        movers=[row for row in compared.movers.to_pylist() if row["n"] > 1],
        settings=_settings(a.record, b.record),
        galleries=[
            (title, [_parted(row, examples) for row in table.to_pylist()], total)
            for title, table, total in galleries
        ],
        class_lines=dict(enumerate(lines)),
        thumbnails=thumbnails(
            a.predictions, list(examples.values()), a.record, images, trusted=a.own
        ),
    )


def _class_lines(run: RunOutput, classes: str | None) -> tuple[str, ...]:
    one = run.predictions
    folder = one.folders[0] if isinstance(one, Outputs) else one
    return open_source(folder, classes).class_lines


def _span(line: PairedAccuracy) -> charts.Span:
    return charts.difference_span(line.ci_low, line.ci_high, line.difference)


def _galleries(compared: Comparison, size: int) -> list[tuple[str, pa.Table, int]]:
    """Titles, the rows of `Comparison.differences` to show, the surest first, and their number."""
    parted = compared.differences.filter(pc.is_valid(compared.differences["index_a"]))
    parted = parted.filter(pc.is_valid(parted["index_b"]))
    if not compared.accuracies:
        return [("Images that the runs see differently", _surest(parted, size), parted.num_rows)]
    only_a = pc.and_(parted["right_a"], pc.invert(parted["right_b"]))
    only_b = pc.and_(parted["right_b"], pc.invert(parted["right_a"]))
    found = {
        "Right in A, wrong in B": parted.filter(only_a),
        "Right in B, wrong in A": parted.filter(only_b),
        "Wrong in both, differently": wrong_differently(parted),
    }
    return [(title, _surest(rows, size), rows.num_rows) for title, rows in found.items()]


def _changes(a: RunOutput, b: RunOutput, compared: Comparison) -> list[Change]:
    """What became of the calibration error and the likelihoods.

    Likelihoods are those that the runs have recorded: they count where they are of the same images.
    """
    found = []
    if compared.ece_a is not None and compared.ece_b is not None:
        found.append(Change("ece", compared.ece_a, compared.ece_b))
    if compared.only_in_a or compared.only_in_b or not compared.labeled:
        return found
    first, second = ({line.metric: line for line in run.metrics()[::-1]} for run in (a, b))
    for name in ("nll", "brier"):
        one, other = first.get(name), second.get(name)
        if one is None or other is None or one.value is None or other.value is None:
            continue
        if (one.label_set, one.n) == (other.label_set, other.n):
            found.append(Change(name, one.value, other.value))
    return found


def _surest(parted: pa.Table, size: int) -> pa.Table:
    """The rows where both runs are surest of what they say."""
    both = pc.min_element_wise(parted["probability_a"], parted["probability_b"])
    order = pc.sort_indices(pa.table({"both": both}), [("both", "descending")])
    return parted.take(order.slice(0, size))


def _parted(row: dict[str, Any], examples: dict[str, Example]) -> Parted:
    return Parted(examples[row["image_id"]], row["index_b"], row["probability_b"])


def _settings(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Where the runs' settings part: name, value in A, value in B."""
    first, second = (dict(flat({part: run.get(part) for part in _SETTINGS})) for run in (a, b))
    return [
        (name, first.get(name, ""), second.get(name, ""))
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    ]
