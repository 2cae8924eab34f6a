"""A paired comparison of two runs on the same images: the right way to say what a change costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vggbatch import html_table
from vggbatch.errors import UsageError
from vggbatch.metrics.comparison.disagreement import (
    differing_images,
    largest_difference,
    wrong_differently,
)
from vggbatch.metrics.comparison.pairing import Pairing
from vggbatch.metrics.estimates.confidence import calibration_error
from vggbatch.metrics.estimates.intervals import (
    false_discovery,
    mcnemar,
    mcnemar_mid_p,
    paired_difference,
    wilson,
)
from vggbatch.metrics.labelset import RECORDED, Accepted, IntArray, LabelSet
from vggbatch.metrics.partial import BINS, best_rank, reliability_bins
from vggbatch.metrics.rows import Predictions, Rows
from vggbatch.metrics.summary import ErrorPolicy
from vggbatch.output.schema import TOP_K
from vggbatch.storage.filesystem import Folder, unwritable


@dataclass(frozen=True)
class PairedAccuracy:
    """One accuracy of two runs on the same images; percentages and percentage points."""

    metric: str
    n: int
    a: float
    b: float
    difference: float
    """b - a."""
    ci_low: float
    ci_high: float
    only_a: int
    """Images that only the first run gets right."""
    only_b: int
    p_value: float
    """McNemar's exact test of no difference, two-sided; conservative."""
    mid_p_value: float
    """The same with the mid-p value, which rejects a true hypothesis about as often as it says."""


@dataclass(frozen=True)
class Comparison:
    """How two runs differ."""

    images: int
    """In both runs."""
    only_in_a: int
    only_in_b: int
    paired_by_file_name: bool
    failed_a: int
    """Images in both runs that only the first could not score."""
    failed_b: int
    failed_both: int
    scored: int
    """Scored by both: what the next two are over."""
    agreement: float | None
    """Percentage with the same first prediction."""
    agreement_ci: tuple[float, float] | None
    mean_largest_difference: float | None
    """Mean over the images of the largest difference of a class's probability."""
    largest_difference: float | None
    labeled: int
    label_conflicts: int
    """Images that have another label in each of the runs; the first run's is used."""
    accuracies: list[PairedAccuracy]
    """top1 and top5; none without labels."""
    both_wrong: int
    """Labeled images whose first prediction is wrong in both runs."""
    both_wrong_differently: int
    """Of those, the ones that both have scored, as different classes."""
    ece_a: float | None
    """Calibration error over the labeled images that both have scored; None where there is none,
    and with a subset of the classes."""
    ece_b: float | None
    movers: pa.Table
    """class_index, wnid, name, n, top1_a, top1_b, difference, only_a, only_b, p_value, p_adjusted:
    classes whose top-1 differs, in percent, largest difference first. p_value is McNemar's mid-p
    of a class, p_adjusted the same corrected for the number of classes in which the runs part
    (Benjamini and Hochberg)."""
    differences: pa.Table
    """Images whose first predictions differ: image_id, label, and index, probability and right
    of both (null where not scored or not labeled)."""

    def _repr_html_(self) -> str:
        """Accuracies and agreement, as a notebook shows them."""
        rows: list[tuple[object, ...]] = [
            (
                f"{line.metric}, %",
                f"{line.a:.2f}",
                f"{line.b:.2f}",
                f"{line.difference:+.2f}",
                f"{line.ci_low:+.2f} to {line.ci_high:+.2f}",
                f"{line.p_value:.3g}",
            )
            for line in self.accuracies
        ]
        if self.ece_a is not None and self.ece_b is not None:
            change = self.ece_b - self.ece_a
            rows.append(("ece", f"{self.ece_a:.4f}", f"{self.ece_b:.4f}", f"{change:+.4f}", "", ""))
        if self.agreement is not None:
            rows.append(("same first class, %", f"{self.agreement:.2f}", "", "", "", ""))
        heads = ("", "a", "b", "b - a", "95 % interval", "p")
        return html_table.as_html(rows, heads, f"{self.images:,} images in both runs")

    def to_json(self) -> dict[str, Any]:
        """All but the images that differ, as plain values."""
        tables = {"movers": self.movers.to_pylist(), "differing_images": self.differences.num_rows}
        shown = {k: v for k, v in vars(self).items() if k not in ("movers", "differences")}
        return shown | {"accuracies": [asdict(line) for line in self.accuracies]} | tables


def compare_runs(
    a: Predictions,
    b: Predictions,
    labels: LabelSet = RECORDED,
    *,
    class_lines: Sequence[str],
    errors: ErrorPolicy = "wrong",
) -> Comparison:
    """Compare two outputs.

    Agreement and the difference of probabilities need no labels. Accuracies are over the images
    in both runs that have one. A label set's subset of the classes is applied to both; images
    that the five predictions leave open count as wrong.

    Args:
        a: the first output, the reference.
        b: the second.
        labels: what is right; those of the rows are the first run's, where it has one.
        class_lines: the network's classes, `wnid name`, in output order.
        errors: a labeled image that a run could not score is wrong for it, or the image is left
            out.

    Raises:
        UsageError: no predictions, no image in common, or networks with other classes.
    """
    pairing = Pairing(a, b)
    tally = _Tally.zeros(len(class_lines))
    parted: list[pa.Table] = []
    for left, right in pairing:
        column = labels.labels(left.image_id, pc.coalesce(left.label, right.label))
        accepted = Accepted.of(column)
        if labels.classes is not None:
            accepted = accepted.keep(np.isin(accepted.cls, labels.classes))
        if errors == "left_out":
            both = left.scored & right.scored
            accepted = accepted.keep(both[accepted.row])
        tally.add(left, right, accepted, labels)
        parted.append(differing_images(left, right, column, accepted, labels))
    return tally.result(pairing, class_lines, pa.concat_tables(parted))


@dataclass
class _Tally:
    """What is summed over the pairs."""

    cells: IntArray
    """[top-1 or top-5, right in a, right in b]"""
    n: IntArray
    """[classes] labeled images"""
    right_a: IntArray
    right_b: IntArray
    only_a: IntArray
    """[classes] images that only the first run gets right"""
    only_b: IntArray
    scored: IntArray
    """[in a, in b]"""
    bins: IntArray
    """[run, 3, bins] of the labeled images that both have scored, see `reliability_bins`"""
    same: int = 0
    labeled: int = 0
    conflicts: int = 0
    gap_sum: float = 0.0
    gap_max: float = 0.0

    @staticmethod
    def zeros(classes: int) -> _Tally:
        n, right_a, right_b, only_a, only_b = np.zeros((5, classes), np.int64)
        cells, scored = np.zeros((2, 2, 2), np.int64), np.zeros((2, 2), np.int64)
        bins = np.zeros((2, 3, BINS), np.int64)
        return _Tally(cells, n, right_a, right_b, only_a, only_b, scored, bins)

    def add(self, a: Rows, b: Rows, accepted: Accepted, labels: LabelSet) -> None:
        classes = len(self.n)
        highest = max(int(a.index.max(initial=-1)), int(b.index.max(initial=-1)))
        highest = max(highest, int(accepted.cls.max(initial=-1)))
        if highest >= classes:
            raise UsageError(f"there is a class {highest}, but the network has {classes} classes")
        labeled = np.zeros(len(a), bool)
        labeled[accepted.row] = True
        rank_a = best_rank(a, accepted, labels.classes)
        rank_b = best_rank(b, accepted, labels.classes)
        for k, places in enumerate((1, TOP_K)):
            pair = (rank_a[labeled] < places).astype(int), (rank_b[labeled] < places).astype(int)
            np.add.at(self.cells[k], pair, 1)
        first, second = rank_a == 0, rank_b == 0
        for counts, right in (
            (self.right_a, first),
            (self.right_b, second),
            (self.only_a, first & ~second),
            (self.only_b, second & ~first),
        ):
            counts += np.bincount(accepted.cls[right[accepted.row]], minlength=classes)
        self.n += np.bincount(accepted.cls, minlength=classes)
        self.labeled += int(labeled.sum())
        if labels.matcher is None:
            self.conflicts += pc.sum(pc.not_equal(a.label, b.label)).as_py() or 0
        np.add.at(self.scored, (a.scored.astype(int), b.scored.astype(int)), 1)
        both = a.scored & b.scored
        if labels.classes is None:
            known = both & labeled
            for bins, rows, right in ((self.bins[0], a, first), (self.bins[1], b, second)):
                bins += reliability_bins(rows.probability[known, 0], right[known])
        self.same += int((a.index[both, 0] == b.index[both, 0]).sum())
        gaps = largest_difference(a, b, both)
        self.gap_sum += float(gaps.sum())
        self.gap_max = max(self.gap_max, float(gaps.max(initial=0.0)))

    def result(
        self, pairing: Pairing, class_lines: Sequence[str], differences: pa.Table
    ) -> Comparison:
        scored = int(self.scored[1, 1])
        agreement = None
        if scored:
            low, high = wilson(self.same, scored)
            agreement = (100 * self.same / scored, (100 * low, 100 * high))
        names = ("top1", "top5")
        ece = [calibration_error(bins) if bins[0].any() else None for bins in self.bins]
        return Comparison(
            images=int(self.scored.sum()),
            only_in_a=pairing.only_a,
            only_in_b=pairing.only_b,
            paired_by_file_name=pairing.by_file_name,
            failed_a=int(self.scored[0, 1]),
            failed_b=int(self.scored[1, 0]),
            failed_both=int(self.scored[0, 0]),
            scored=scored,
            agreement=agreement[0] if agreement else None,
            agreement_ci=agreement[1] if agreement else None,
            mean_largest_difference=self.gap_sum / scored if scored else None,
            largest_difference=self.gap_max if scored else None,
            labeled=self.labeled,
            label_conflicts=self.conflicts,
            accuracies=[_accuracy(*pair) for pair in zip(names, self.cells, strict=True)]
            if self.labeled
            else [],
            both_wrong=int(self.cells[0, 0, 0]),
            both_wrong_differently=wrong_differently(differences).num_rows,
            ece_a=ece[0],
            ece_b=ece[1],
            movers=self._movers(class_lines),
            differences=differences,
        )

    def _movers(self, class_lines: Sequence[str]) -> pa.Table:
        change = 100 * (self.right_b - self.right_a) / np.maximum(self.n, 1)
        moved = np.flatnonzero(change)
        moved = moved[np.lexsort((moved, -np.abs(change[moved])))]
        n = self.n[moved]
        # classes in which the runs do not part say nothing, whichever run is better
        parted = np.flatnonzero(self.only_a + self.only_b)
        tests = [mcnemar_mid_p(int(self.only_a[i]), int(self.only_b[i])) for i in parted]
        alone = dict(zip(parted.tolist(), tests, strict=True))
        adjusted = dict(zip(parted.tolist(), false_discovery(tests), strict=True))
        words = [class_lines[int(i)].partition(" ") for i in moved]
        return pa.table(
            {
                "class_index": pa.array(moved, pa.int32()),
                "wnid": pa.array([wnid for wnid, _, _ in words], pa.string()),
                "name": pa.array([name for _, _, name in words], pa.string()),
                "n": n,
                "top1_a": 100 * self.right_a[moved] / n,
                "top1_b": 100 * self.right_b[moved] / n,
                "difference": change[moved],
                "only_a": self.only_a[moved],
                "only_b": self.only_b[moved],
                "p_value": pa.array([alone[i] for i in moved.tolist()], pa.float64()),
                "p_adjusted": pa.array([adjusted[i] for i in moved.tolist()], pa.float64()),
            }
        )


def _accuracy(metric: str, cells: IntArray) -> PairedAccuracy:
    neither, only_b, only_a, both = (int(count) for count in cells.reshape(-1))
    n = neither + only_b + only_a + both
    low, high = paired_difference(both, only_b, only_a, neither)
    return PairedAccuracy(
        metric=metric,
        n=n,
        a=100 * (both + only_a) / n,
        b=100 * (both + only_b) / n,
        difference=100 * (only_b - only_a) / n,
        ci_low=100 * low,
        ci_high=100 * high,
        only_a=only_a,
        only_b=only_b,
        p_value=mcnemar(only_a, only_b),
        mid_p_value=mcnemar_mid_p(only_a, only_b),
    )


def write_differences(comparison: Comparison, uri: str) -> None:
    """Write the images where the runs part to a Parquet file.

    Raises:
        UsageError: the place cannot be written to.
    """
    parent, _, name = uri.rpartition("/")
    try:
        with Folder(parent or ("/" if uri.startswith("/") else ".")).open_atomic(name) as file:
            pq.write_table(comparison.differences, file)
    except OSError as error:
        raise unwritable(uri, error) from None
