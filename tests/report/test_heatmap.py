import numpy as np
import pyarrow as pa
import pytest

from vggbatch.errors import UsageError
from vggbatch.metrics.superclasses import superclasses
from vggbatch.models.catalog import synset
from vggbatch.report.heatmap import heat_map

KINDS = {name: ids for (_, name), ids in superclasses().items()}
WNIDS = [line.split(" ", 1)[0] for line in synset()]


def tables(n, top1, confusions):
    per_class = pa.table({"wnid": WNIDS, "n": pa.array(n, pa.int64()), "top1": top1})
    label, predicted, count = zip(*confusions, strict=True) if confusions else ((), (), ())
    pairs = {"label": label, "predicted": predicted, "count": count}
    return (
        per_class,
        pa.table({name: pa.array(values, pa.int64()) for name, values in pairs.items()}),
        pa.table({"same_kind": pa.array([1.0])}),
    )


def counted():
    """Two hundred images of tench (0), tabby (281) and a moped (665)."""
    n, top1 = np.zeros(1000, int), [None] * 1000
    n[[0, 281, 665]] = 100, 60, 40
    top1[0], top1[281], top1[665] = 90.0, 50.0, 100.0
    return n, top1, [(0, 1, 6), (0, 281, 4), (281, 282, 20), (281, 151, 10)]


def test_cells_are_counts_by_kind():
    found = heat_map(*tables(*counted()))
    assert found.labels == ["feline", "fish", "vehicle"]
    assert found.images == [60, 100, 40]
    cells = {
        (label, predicted): found.counts[row][column]
        for row, label in enumerate(found.labels)
        for column, predicted in enumerate(found.predicted)
        if found.counts[row][column]
    }
    assert cells == {
        ("feline", "feline"): 50,
        ("feline", "dog"): 10,
        ("fish", "fish"): 96,
        ("fish", "feline"): 4,
        ("vehicle", "vehicle"): 40,
    }
    assert found.share(found.labels.index("feline"), found.predicted.index("dog")) == pytest.approx(
        1000 / 60
    )


def test_every_class_is_of_one_kind():
    n = np.ones(1000, int)
    found = heat_map(*tables(n, [100.0] * 1000, []))
    assert sum(found.images) == 1000
    assert np.trace(np.array(found.counts)) == 1000
    assert found.images[found.labels.index("dog")] == len(KINDS["dog"])
    assert set(found.labels) == set(found.predicted)


@pytest.mark.parametrize("which", ["few images", "several labels", "other classes", "one kind"])
def test_there_is_none_where_it_would_say_nothing(which):
    n, top1, pairs = counted()
    per_class, confusions, kinds = tables(n, top1, pairs)
    if which == "few images":
        per_class = per_class.set_column(1, "n", pa.array(n // 10))
    if which == "several labels":
        kinds = pa.table({"same_kind": pa.array([None], pa.float64())})
    if which == "other classes":
        kinds = kinds.slice(0, 0)
    if which == "one kind":
        only = np.where(np.arange(1000) == 281, 200, 0)
        per_class, confusions, kinds = tables(only, top1, [])
    assert heat_map(per_class, confusions, kinds) is None


@pytest.mark.parametrize("pair", [(0, 1000, 1), (-1, 3, 1), (2000, 0, 1)])
def test_a_confusion_of_no_class_is_refused(pair):
    n, top1, _ = counted()
    with pytest.raises(UsageError, match="no run has written it"):
        heat_map(*tables(n, top1, [pair]))
