from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vggbatch.errors import UsageError
from vggbatch.metrics import rows as rows_module
from vggbatch.metrics.comparison.pairing import Pairing


def collect(a, b) -> tuple[Pairing, list[tuple[str, str, int]]]:
    pairing = Pairing(a.folder, b.folder)
    found = []
    for x, y in pairing:
        assert len(x) == len(y)
        ids = zip(x.image_id.to_pylist(), y.image_id.to_pylist(), x.index[:, 0], strict=True)
        found += [(i, j, int(k)) for i, j, k in ids]
    return pairing, found


def firsts(run) -> dict[str, int]:
    best = np.where(run.failed, -1, run.probabilities.argmax(1))
    return dict(zip(run.ids, map(int, best), strict=True))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """So that batches of the two runs end at different rows."""
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 37)


def test_same_order_in_files_of_other_sizes(tmp_path: Path, make_run):
    a = make_run(tmp_path / "a").write(files=3)
    b = make_run(tmp_path / "b", seed=1).write(files=5)
    pairing, found = collect(a, b)
    assert [i for i, _, _ in found] == a.ids
    assert all(i == j for i, j, _ in found)
    assert {i: k for i, _, k in found} == firsts(a)
    assert (pairing.only_a, pairing.only_b, pairing.by_file_name) == (0, 0, False)


def test_other_order_and_images_that_one_run_lacks(tmp_path: Path, make_run):
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", seed=1)
    b.ids = b.ids[:100] + b.ids[:99:-1]
    b.ids[7] = b.ids[300] + "x"
    b.ids[300] = "y"
    pairing, found = collect(a.write(files=2), b.write(files=2))
    assert sorted(i for i, _, _ in found) == sorted(set(a.ids) & set(b.ids))
    assert all(i == j for i, j, _ in found)
    assert {i: k for i, _, k in found}.items() <= firsts(a).items()
    assert (pairing.only_a, pairing.only_b, pairing.by_file_name) == (2, 2, False)


def test_one_run_is_the_start_of_the_other(tmp_path: Path, make_run):
    a = make_run(tmp_path / "a", 50).write()
    b = make_run(tmp_path / "b", 90, seed=1).write()
    pairing, found = collect(a, b)
    assert len(found) == 50
    assert (pairing.only_a, pairing.only_b) == (0, 40)
    pairing, found = collect(b, a)
    assert (len(found), pairing.only_a, pairing.only_b) == (50, 40, 0)


def test_the_same_images_in_other_shards_pair_by_file_name(tmp_path: Path, make_run):
    a = make_run(tmp_path / "a", 50).write()
    b = make_run(tmp_path / "b", 50, seed=1)
    b.ids = [f"folder/{i.rsplit('/')[-1]}" for i in reversed(b.ids)]
    pairing, found = collect(a, b.write())
    assert pairing.by_file_name
    assert len(found) == 50
    assert all(i.rsplit("/")[-1] == j.rsplit("/")[-1] for i, j, _ in found)


def test_nothing_in_common_is_told(tmp_path: Path, make_run):
    a = make_run(tmp_path / "a", 20).write()
    b = make_run(tmp_path / "b", 20)
    b.ids = [f"other{i}.jpg" for i in range(20)]
    with pytest.raises(UsageError, match="no image in common"):
        collect(a, b.write())
    b.ids = [f"{i}/same.jpg" for i in range(20)]
    with pytest.raises(UsageError, match="file names repeat"):
        collect(a, b.write())


def test_rows_of_networks_with_few_classes():
    batch = pa.RecordBatch.from_pydict(
        {
            "label": pa.array([1, None], pa.int32()),
            "top5_index": pa.array([[1, 0, None, None, None], None], pa.list_(pa.int32(), 5)),
            "top5_probability": pa.array(
                [[0.75, 0.25, None, None, None], None], pa.list_(pa.float32(), 5)
            ),
        }
    )
    rows = rows_module.Rows.of(batch)
    assert rows.index.tolist() == [[1, 0, -1, -1, -1], [-1] * 5]
    assert rows.probability[0, :2].tolist() == [0.75, 0.25]
    assert rows.scored.tolist() == [True, False]
