"""One pass over the predictions: counts for the charts, and the few images worth showing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch.metrics import LabelSet
from vggbatch.metrics.labelset import Accepted, IntArray
from vggbatch.metrics.partial import best_rank
from vggbatch.metrics.rows import BATCH_ROWS, Predictions, Rows, open_predictions, prediction_files
from vggbatch.output.reader import row_groups
from vggbatch.report.example import Example
from vggbatch.report.groups import Shown

BINS = 20
"""Bars of the confidence histogram, of equal width over 0 to 1."""

_COLUMNS = ["image_id", "source", "label", "top5_index", "top5_probability", "top5_synset", "error"]


@dataclass
class Best:
    """The examples with the highest scores; of equal ones, those that came first."""

    size: int
    scored: list[tuple[float, Example]] = field(default_factory=list)

    def add(self, batch: _Batch, candidates: IntArray, score: npt.NDArray[np.float32]) -> None:
        """Take in candidates of a batch: row numbers, and a score for each row of the batch."""
        order = candidates[np.argsort(-score[candidates], kind="stable")][: self.size]
        new = [(float(score[row]), batch.example(int(row))) for row in order]
        self.scored = sorted(self.scored + new, key=lambda item: -item[0])[: self.size]

    def examples(self) -> list[Example]:
        """Best first."""
        return [example for _, example in self.scored]


@dataclass
class Scan:
    """What the pass found."""

    gallery: int
    """How many examples each gallery keeps; of each kind of error a quarter."""
    by_prediction: bool = False
    """Whether to keep examples by their first prediction, of a run without metrics."""
    rows: int = 0
    right: IntArray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """Labeled images whose first prediction is right, by its probability."""
    wrong: IntArray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    unlabeled: IntArray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    predicted: Counter[int] = field(default_factory=Counter)
    """Images by first prediction."""
    confidence: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Their summed probabilities."""
    class_lines: dict[int, str] = field(default_factory=dict)
    """Of the predicted classes."""
    error_counts: Counter[str] = field(default_factory=Counter)
    errors: dict[str, list[Example]] = field(default_factory=dict)
    """The first examples of each kind of error."""
    shown: Shown = field(default_factory=Shown)
    """Examples of each class, confusion and reliability bin."""

    def __post_init__(self) -> None:
        self.mistakes = Best(self.gallery)
        self.unsure = Best(self.gallery)

    def add(self, batch: _Batch) -> None:
        """Count a batch of predictions, and keep the images that stand out."""
        rows, accepted, subset = batch.rows, batch.accepted, batch.label_set.classes
        self.rows += len(rows)
        labeled = np.zeros(len(rows), bool)
        labeled[accepted.row] = True
        right = best_rank(rows, accepted, subset) == 0
        confidence = rows.probability[:, 0]
        for counts, which in (
            (self.right, rows.scored & labeled & right),
            (self.wrong, rows.scored & labeled & ~right),
            (self.unlabeled, rows.scored & ~labeled),
        ):
            counts += np.histogram(confidence[which], bins=BINS, range=(0, 1))[0]
        self._count_classes(batch)
        self._show(batch, right)
        wrong = np.flatnonzero(rows.scored & labeled & ~right)
        self.mistakes.add(batch, wrong, confidence)
        self.unsure.add(batch, np.flatnonzero(rows.scored), -confidence)
        for row in np.flatnonzero(~rows.scored):
            kind = str(batch.error[row].as_py()).partition(":")[0]
            self.error_counts[kind] += 1
            kept = self.errors.setdefault(kind, [])
            if len(kept) < self.gallery // 4:
                kept.append(batch.example(int(row)))

    def _show(self, batch: _Batch, right: npt.NDArray[np.bool_]) -> None:
        """Keep examples of each class, confusion and bin."""
        rows, accepted = batch.rows, batch.accepted
        competing = rows.competing(batch.label_set.classes)
        place = competing.argmax(axis=1)
        every = np.arange(len(rows))
        first, probability = rows.index[every, place], rows.probability[every, place]
        # a row of which no prediction competes has none
        accepted = accepted.keep((rows.scored & competing.any(axis=1))[accepted.row])
        row = accepted.row
        self.shown.add(batch.example, row, accepted.cls, first[row], right[row], probability[row])
        if self.by_prediction:
            where = np.flatnonzero(rows.scored)
            sure = rows.probability[where, 0].astype(np.float64)
            self.shown.predicted.add(batch.example, where, rows.index[where, 0], sure)

    def _count_classes(self, batch: _Batch) -> None:
        rows = batch.rows
        where = np.flatnonzero(rows.scored)
        classes, first, inverse = np.unique(
            rows.index[where, 0], return_index=True, return_inverse=True
        )
        counts = np.bincount(inverse, minlength=len(classes))
        sums = np.bincount(inverse, weights=rows.probability[where, 0], minlength=len(classes))
        for cls, row, count, total in zip(classes, where[first], counts, sums, strict=True):
            self.predicted[int(cls)] += int(count)
            self.confidence[int(cls)] += float(total)
            if int(cls) not in self.class_lines:
                line, *_ = batch.synsets[int(row)].as_py() or [None]
                if line is not None:
                    self.class_lines[int(cls)] = line


class _Batch:
    """Some rows of the predictions, with what is right for them."""

    def __init__(self, record: pa.RecordBatch, label_set: LabelSet) -> None:
        self.rows = Rows.of(record)
        self.label_set = label_set
        self.accepted = Accepted.of(label_set.labels(self.rows.image_id, self.rows.label))
        if label_set.classes is not None:
            inside = np.isin(self.accepted.cls, label_set.classes)
            self.accepted = self.accepted.keep(inside)
        self.source = record.column("source")
        self.synsets = record.column("top5_synset")
        self.error = record.column("error")

    def example(self, row: int) -> Example:
        """One row."""
        known = self.rows.index[row] >= 0
        low, high = np.searchsorted(self.accepted.row, [row, row + 1])
        synsets = self.synsets[row].as_py() or ()
        assert self.rows.image_id is not None
        return Example(
            image_id=self.rows.image_id[row].as_py(),
            source=self.source[row].as_py(),
            labels=tuple(self.accepted.cls[low:high].tolist()),
            index=tuple(self.rows.index[row, known].tolist()),
            probability=tuple(self.rows.probability[row, known].tolist()),
            synsets=tuple(line for line in synsets if line is not None),
            error=self.error[row].as_py(),
        )


def scan(
    predictions: Predictions,
    label_set: LabelSet,
    gallery: int,
    pairs: Sequence[tuple[int, int]] = (),
    *,
    by_prediction: bool = False,
) -> Scan:
    """Read all predictions of an output once, in bounded memory.

    Args:
        predictions: the output.
        label_set: what counts as right.
        gallery: how many images to keep for each gallery.
        pairs: confusions to keep examples of: label and first prediction.
        by_prediction: keep examples by their first prediction too.

    Raises:
        UsageError: there are no predictions.
    """
    found = Scan(gallery, by_prediction, shown=Shown.of_pairs(pairs))
    for record in _batches(predictions):
        found.add(_Batch(record, label_set))
    return found


def find(predictions: Predictions, label_set: LabelSet, image_ids: list[str]) -> dict[str, Example]:
    """The rows of some images, by image id."""
    wanted = pa.array(image_ids, pa.string())
    found: dict[str, Example] = {}
    for record in _batches(predictions):
        where = pa.compute.is_in(record.column("image_id"), value_set=wanted)
        chosen = record.filter(where)
        if chosen.num_rows:
            batch = _Batch(chosen, label_set)
            for row in range(chosen.num_rows):
                example = batch.example(row)
                found[example.image_id] = example
    return found


def _batches(predictions: Predictions) -> Iterator[pa.RecordBatch]:
    for name in prediction_files(predictions):
        with open_predictions(predictions, name, shown=True) as file:
            for group in row_groups(file, _COLUMNS):
                yield from group.to_batches(BATCH_ROWS)
