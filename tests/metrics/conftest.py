"""Made-up runs: predictions files with known contents."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vggbatch.output.schema import predictions_schema
from vggbatch.storage.filesystem import Folder

CLASSES = 20
CLASS_LINES = [f"n{i:08d} class {i}, kind" for i in range(CLASSES)]


@dataclass
class MadeUpRun:
    """A run whose whole probability matrix is known."""

    class_lines: ClassVar[list[str]] = CLASS_LINES
    classes: ClassVar[int] = CLASSES
    folder: Folder
    ids: list[str]
    probabilities: np.ndarray
    """float32 [N, CLASSES]"""
    labels: list[int | None]
    failed: np.ndarray
    """bool [N]"""

    @property
    def table(self) -> pa.Table:
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :5]
        top = np.take_along_axis(self.probabilities, order, axis=1)
        good = ~self.failed
        columns = [
            pa.array(self.ids),
            pa.array(["shard.tar"] * len(self.ids)),
            pa.array(self.labels, pa.int32()),
            pa.array([list(map(int, o)) if g else None for o, g in zip(order, good, strict=True)]),
            pa.array([list(map(float, t)) if g else None for t, g in zip(top, good, strict=True)]),
            pa.array(
                [
                    [CLASS_LINES[c] for c in o] if g else None
                    for o, g in zip(order, good, strict=True)
                ]
            ),
            pa.array([None if g else "truncated: cut short" for g in good]),
        ]
        schema = predictions_schema()
        arrays = [
            column if field.name == "top5_synset" else column.cast(field.type)
            for column, field in zip(columns, schema, strict=True)
        ]
        synsets = arrays[5]
        flat = synsets.flatten().dictionary_encode()
        if synsets.null_count == 0:
            arrays[5] = pa.FixedSizeListArray.from_arrays(flat, 5)
        else:
            arrays[5] = pa.array([None] * len(self.ids), schema.field("top5_synset").type)
        return pa.Table.from_arrays(arrays, schema=schema)

    def write(self, files: int = 1) -> MadeUpRun:
        table = self.table
        Path(self.folder.root, "predictions").mkdir(parents=True, exist_ok=True)
        cuts = np.linspace(0, len(self.ids), files + 1).astype(int)
        for i, (a, b) in enumerate(itertools.pairwise(cuts)):
            path = Path(self.folder.root, "predictions", f"part-{i:05d}.parquet")
            pq.write_table(table.slice(a, b - a), path)
        return self


def make_run(
    path: Path, n: int = 400, *, seed: int = 0, unlabeled: float = 0.1, failing: float = 0.05
) -> MadeUpRun:
    """Predictions that are often right, from a seed; not yet written."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, n)
    logits = rng.normal(0, 1, (n, CLASSES)) + 2.0 * np.eye(CLASSES)[truth]
    logits = np.where(rng.random((n, 1)) < 0.2, rng.normal(0, 3, (n, CLASSES)), logits)
    odds = np.exp(logits)
    return MadeUpRun(
        folder=Folder(str(path)),
        ids=[f"val.tar/ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(n)],
        probabilities=(odds / odds.sum(1, keepdims=True)).astype(np.float32),
        labels=[None if rng.random() < unlabeled else int(c) for c in truth],
        failed=rng.random(n) < failing,
    )


@pytest.fixture(name="make_run")
def make_run_fixture():
    return make_run


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    return make_run(tmp_path / "run").write(files=3)
