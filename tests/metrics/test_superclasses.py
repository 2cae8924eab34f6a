from __future__ import annotations

import numpy as np
import pytest

from vggbatch.metrics.partial import ClassCounts, Pairs, Partial
from vggbatch.metrics.superclasses import superclass_table, superclasses
from vggbatch.models.catalog import synset


def test_kinds_hold_the_classes_that_one_expects():
    kinds = {name: members for (_, name), members in superclasses().items()}
    names = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in synset()}
    assert len(kinds["dog"]) == 118
    assert all(kinds["dog"] < kinds[kind] for kind in ("mammal", "animal"))
    assert "n02123045" in kinds["feline"]  # tabby
    assert "n02123045" not in kinds["dog"]
    assert {"goldfinch, Carduelis carduelis", "ostrich, Struthio camelus"} <= {
        names[wnid] for wnid in kinds["bird"]
    }
    assert "n03977966" in kinds["motor vehicle"]  # police van
    assert len(kinds["animal"]) == 398
    assert not kinds["animal"] & kinds["artifact"]


def test_accuracy_by_kind_equals_a_plain_count():
    """Whatever the order of the network's classes."""
    rng = np.random.default_rng(0)
    lines = [synset()[i] for i in rng.permutation(1000)]
    labels = rng.integers(0, 1000, 20_000)
    said = np.where(rng.random(20_000) < 0.6, labels, rng.integers(0, 1000, 20_000))
    right = said == labels
    counts = ClassCounts.zeros(1000)
    counts.n += np.bincount(labels, minlength=1000)
    counts.top1 += np.bincount(labels[right], minlength=1000)
    counts.top5 += counts.top1
    sums = Partial(counts, confusions=Pairs.of(labels[~right] * 1000 + said[~right]))
    rows = {row["name"]: row for row in superclass_table(sums, lines).to_pylist()}
    wnids = np.array([line.split(" ", 1)[0] for line in lines])
    for (_, name), members in superclasses().items():
        inside = np.isin(wnids[labels], list(members))
        assert rows[name]["n"] == inside.sum()
        assert rows[name]["top1"] == pytest.approx(100 * right[inside].mean())
        same = np.isin(wnids[said], list(members))[inside]
        assert rows[name]["same_kind"] == pytest.approx(100 * same.mean())
        assert rows[name]["top1_low"] < rows[name]["top1"] < rows[name]["top1_high"]


def test_other_classes_have_no_kinds():
    assert superclass_table(Partial(ClassCounts.zeros(2)), ["0 cat", "1 dog"]).num_rows == 0
