"""The few images of each class, of each confusion and of each reliability bin that a page shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vggbatch.metrics.labelset import IntArray
from vggbatch.metrics.partial import BINS
from vggbatch.report.example import Example

EXAMPLES = 4
"""Images of a group."""
_EDGES = np.linspace(0, 1, BINS + 1)


@dataclass
class Groups:
    """The examples with the highest scores of each group; of equal ones, those that came first."""

    kept: dict[int, list[tuple[float, Example]]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self,
        example: Callable[[int], Example],
        row: IntArray,
        group: IntArray,
        score: npt.NDArray[np.float64],
    ) -> None:
        """Take in rows of a batch.

        Args:
            example: makes the example of a row.
            row: row numbers of the batch.
            group: of each of those rows.
            score: likewise.
        """
        order = np.lexsort((-score, group))
        row, group, score = row[order], group[order], score[order]
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        sizes = np.diff(starts, append=len(group))
        place = np.arange(len(group)) - np.repeat(starts, sizes)
        for i in np.flatnonzero(place < EXAMPLES).tolist():
            kept = self.kept[int(group[i])]
            if len(kept) == EXAMPLES and score[i] <= kept[-1][0]:
                continue
            kept.append((float(score[i]), example(int(row[i]))))
            kept.sort(key=lambda item: -item[0])
            del kept[EXAMPLES:]

    def examples(self, group: int) -> list[Example]:
        """Best first."""
        return [example for _, example in self.kept.get(group, ())]


@dataclass
class Shown:
    """Images by what the tables and charts of a page are about."""

    classes: Groups = field(default_factory=Groups)
    """By label: wrong ones first, the surest of them before; then the least sure right ones."""
    predicted: Groups = field(default_factory=Groups)
    """By first prediction, the surest first; of a run without metrics."""
    pairs: Groups = field(default_factory=Groups)
    """By label * `stride` + first prediction, the surest first."""
    bins: Groups = field(default_factory=Groups)
    """By reliability bin: wrong ones first."""
    stride: int = 1
    wanted: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    """The pairs that are listed."""

    @staticmethod
    def of_pairs(pairs: Sequence[tuple[int, int]]) -> Shown:
        """For a table of these confusions."""
        stride = 1 + max((max(pair) for pair in pairs), default=0)
        keys = [label * stride + predicted for label, predicted in pairs]
        return Shown(stride=stride, wanted=np.array(keys, np.int64))

    def add(
        self,
        example: Callable[[int], Example],
        row: IntArray,
        label: IntArray,
        first: IntArray,
        right: npt.NDArray[np.bool_],
        probability: npt.NDArray[np.float32],
    ) -> None:
        """Take in scored, labeled rows, one entry for each label of a row.

        Args:
            example: makes the example of a row.
            row: row numbers of the batch, rising.
            label: an accepted class.
            first: the first prediction.
            right: whether it is any of the accepted classes.
            probability: of the first prediction.
        """
        sure = probability.astype(np.float64)
        self.classes.add(example, row, label, np.where(right, 1 - sure, 1 + sure))
        pair = label.astype(np.int64) * self.stride + first
        known = ~right & (np.maximum(label, first) < self.stride) & np.isin(pair, self.wanted)
        self.pairs.add(example, row[known], pair[known], sure[known])
        once = np.diff(row, prepend=-1) > 0
        row, sure, right = row[once], sure[once], right[once]
        which = np.searchsorted(_EDGES[1:-1], sure, side="left")
        self.bins.add(example, row, which, np.where(right, sure, 1 + sure))

    def pair(self, label: int, predicted: int) -> list[Example]:
        """The examples of a confusion."""
        return self.pairs.examples(label * self.stride + predicted)


@dataclass(frozen=True)
class Group:
    """Examples with a title, and the anchor by which tables and charts name them."""

    anchor: str
    title: str
    examples: list[Example]


def few_of_each(groups: Sequence[Group], first: int) -> Iterator[Example]:
    """The examples of the groups that a page shows before more is asked for."""
    for group in groups[:first]:
        yield from group.examples
