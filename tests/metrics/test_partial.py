from __future__ import annotations

from dataclasses import fields

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from vggbatch.metrics.labelset import Accepted
from vggbatch.metrics.partial import ClassCounts, Pairs, Partial, count
from vggbatch.metrics.rows import Rows

CLASSES = 7


@st.composite
def batches(draw):
    """Made-up rows with any mixture of errors, missing, single and several labels."""
    n = draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probability = -np.sort(-rng.dirichlet(np.ones(CLASSES), n), axis=1)[:, :5]
    index = np.argsort(rng.random((n, CLASSES)), axis=1)[:, :5]
    scored = rng.random(n) < 0.8
    labels = [
        sorted(map(int, rng.choice(CLASSES, rng.integers(0, 4), replace=False))) or None
        for _ in range(n)
    ]
    rows = Rows(
        image_id=None,
        label=pa.nulls(n, pa.int32()),
        scored=scored,
        index=np.where(scored[:, None], index, -1).astype(np.int32),
        probability=np.where(scored[:, None], probability, np.nan).astype(np.float32),
    )
    return rows, labels


def part(rows: Rows, labels: list, keep: slice | np.ndarray, subset=None) -> Partial:
    chosen = Rows(None, rows.label, rows.scored[keep], rows.index[keep], rows.probability[keep])
    wanted = list(np.array([*labels, None], object)[:-1][keep])
    accepted = Accepted.of(pa.array(wanted, pa.list_(pa.int32())))
    return count(chosen, accepted, classes=CLASSES, subset=subset)


def flat(value) -> list:
    if isinstance(value, (Partial, ClassCounts, Pairs)):
        return [x for f in fields(value) for x in flat(getattr(value, f.name))]
    return value.tolist() if isinstance(value, np.ndarray) else [value]


@settings(deadline=None)
@given(batches(), st.integers(0, 30), st.integers(0, 30), st.sampled_from([None, (1, 3, 4)]))
def test_any_split_gives_the_same_sums(batch, i, j, subset):
    rows, labels = batch
    a, b = sorted((min(i, len(rows)), min(j, len(rows))))
    parts = [part(rows, labels, s, subset) for s in (slice(0, a), slice(a, b), slice(b, None))]
    whole = flat(part(rows, labels, slice(None), subset))
    assert flat((parts[0] + parts[1]) + parts[2]) == whole
    assert flat(parts[0] + (parts[1] + parts[2])) == whole
    assert flat(parts[2] + parts[0] + parts[1]) == whole


@settings(deadline=None)
@given(batches())
def test_the_order_of_the_rows_does_not_matter(batch):
    rows, labels = batch
    order = np.random.default_rng(0).permutation(len(rows))
    assert flat(part(rows, labels, order)) == flat(part(rows, labels, slice(None)))


@settings(deadline=None)
@given(batches())
def test_an_empty_part_changes_nothing(batch):
    rows, labels = batch
    whole = part(rows, labels, slice(None))
    assert flat(Partial(ClassCounts.zeros(CLASSES)) + whole) == flat(whole)


@settings(deadline=None)
@given(batches(), st.sampled_from([None, (1, 3, 4), tuple(range(CLASSES))]))
def test_counts_equal_a_plain_loop(batch, subset):
    rows, labels = batch
    sums = part(rows, labels, slice(None), subset)
    top1 = top5 = labeled = failed = open1 = open5 = 0
    n, predicted, hits = (np.zeros(CLASSES, int) for _ in range(3))
    confused: dict[tuple[int, int], int] = {}
    for i, accepted in enumerate(labels):
        allowed = [c for c in accepted or [] if subset is None or c in subset]
        if not allowed:
            continue
        if not rows.scored[i]:
            failed += 1
            continue
        labeled += 1
        guesses = [int(c) for c in rows.index[i] if subset is None or int(c) in subset]
        right = [c in allowed for c in guesses]
        top1 += right[:1] == [True]
        top5 += any(right)
        if subset is not None and not any(right):
            open1 += not guesses
            open5 += len(guesses) < 5
        n[allowed] += 1
        if guesses:
            predicted[guesses[0]] += 1
            hits[guesses[0]] += right[0]
            for c in [] if right[0] else allowed:
                confused[c, guesses[0]] = confused.get((c, guesses[0]), 0) + 1
    assert (sums.rows, sums.errors) == (len(rows), (~rows.scored).sum())
    assert (sums.labeled, sums.labeled_errors) == (labeled, failed)
    assert (sums.top1, sums.top5, sums.open_top1, sums.open_top5) == (top1, top5, open1, open5)
    assert sums.classes.n.tolist() == n.tolist()
    assert sums.classes.predicted.tolist() == predicted.tolist()
    assert sums.classes.hits.tolist() == hits.tolist()
    pairs = zip(*np.divmod(sums.confusions.key, CLASSES), sums.confusions.count, strict=True)
    assert {(a, b): k for a, b, k in pairs} == confused
