"""The task of a system, a file that its process reads, and what it leaves behind."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vggbatch.bench.plain import Recipe


@dataclass(frozen=True)
class Graph:
    """An ONNX file, and how it is opened."""

    file: str
    input: str
    output: str
    """Its scores."""
    optimized: bool = False
    """Whether it is opened as it is; else onnxruntime optimizes it."""
    batch: int | None = None
    """Images in each run, all of them needed; None for any number."""


@dataclass(frozen=True)
class Task:
    """One run of one system."""

    images: str
    """Folder of the image files; nothing else is in it."""
    count: int
    """How many they are."""
    distinct: int
    """How many of them differ: the first ones by name, of which the rest are copies."""
    model: str
    """ONNX file with a free batch dimension and standard operators."""
    score_model: str
    """The model as `vggbatch score --model` takes it."""
    input: str
    """Name of the model's input."""
    output: str
    """Name of its scores."""
    layout: str
    """NCHW or NHWC."""
    recipe: Recipe
    cores: int
    """That the system may use."""
    work: str
    """Folder for what this run leaves."""
    prepared: Graph | None = None
    """What vggbatch makes of the model and runs."""
    cache_dir: str | None = None
    """Where vggbatch has it; None: where it looks on its own."""
    batch: int = 1
    """Of onnxruntime alone, found by a search."""
    sessions: int = 1
    """Of onnxruntime alone, found by the same search; each gets its share of the cores."""
    score_settings: tuple[str, ...] = ()
    """`key=value` pairs for `vggbatch score --set`."""
    address: str | None = None
    """Ray cluster to join; None: the systems that use Ray start one."""

    def files(self) -> list[Path]:
        """The images in the order of their names."""
        return sorted(Path(self.images).iterdir())

    def write(self) -> Path:
        """As a file in the work folder."""
        path = Path(self.work) / "task.json"
        path.write_text(json.dumps(asdict(self)))
        return path

    @staticmethod
    def read(path: str | Path) -> Task:
        """From a file that `write` made."""
        values = json.loads(Path(path).read_text())
        recipe = values["recipe"]
        for name in ("mean", "std"):
            recipe[name] = tuple(recipe[name])
        prepared = values["prepared"] and Graph(**values["prepared"])
        settings = tuple(values["score_settings"])
        parts = {"recipe": Recipe(**recipe), "score_settings": settings, "prepared": prepared}
        return Task(**values | parts)

    @property
    def marks(self) -> Path:
        """The file of progress: a line for every batch, time since 1970 and images."""
        return Path(self.work) / "marks"

    def mark(self, images: int, moment: float | None = None) -> None:
        """Note that a batch of images is predicted, now or at a moment; any process may."""
        with self.marks.open("a") as file:
            file.write(f"{moment or time.time():.6f} {images}\n")

    def read_marks(self) -> list[tuple[float, int]]:
        """What was marked, by time."""
        if not self.marks.exists():
            return []
        lines = [line.split() for line in self.marks.read_text().splitlines()]
        return sorted((float(moment), int(images)) for moment, images in lines)

    def save_top1(self, names: Sequence[str], classes: npt.NDArray[np.integer]) -> None:
        """Write predictions as Parquet, as a user would: columns `image`, `top1`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"image": list(names), "top1": pa.array(classes, pa.int64())})
        folder = Path(self.work) / "out"
        folder.mkdir(exist_ok=True)
        pq.write_table(table, folder / "predictions.parquet")
