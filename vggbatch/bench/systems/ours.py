"""vggbatch itself: the real command, seen from outside."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from vggbatch import process
from vggbatch.api import load_predictions
from vggbatch.bench.systems.base import System
from vggbatch.bench.task import Task
from vggbatch.chunks.stats import Stats
from vggbatch.models.cache import cache_folder
from vggbatch.models.model import SYNTHETIC
from vggbatch.output.writer import STATS_KEY


class Ours(System):
    """`vggbatch score`, whole."""

    name = "vggbatch"
    title = "vggbatch"
    package = "ray"
    install = "pip install vggbatch"
    clustered = True

    def __init__(self) -> None:
        self.seen: set[Path] = set()

    def command(self, task: Task) -> list[str]:
        """The command as a user gives it."""
        command = process.python("vggbatch", "score", task.images, "--model")
        command += [task.score_model, "-o", str(_output(task))]
        for pair in (*task.score_settings, *self.settings(task)):
            command += ["--set", pair]
        return [*command, "--address", task.address] if task.address else command

    def settings(self, task: Task) -> list[str]:
        """Settings that are not the user's; they come last, and count."""
        return [] if task.cache_dir is None else [f"cache_dir={task.cache_dir}"]

    def watch(self, task: Task) -> None:
        """Mark each chunk that was committed since, by the time of its staging file."""
        for part in (_output(task) / "_vggbatch").glob("*/staging/*/*.parquet"):
            if part in self.seen or part.name.startswith("."):
                continue
            try:
                moment = part.stat().st_mtime
                metadata = pq.read_schema(part).metadata
            except OSError:  # gone into a predictions file meanwhile
                continue
            self.seen.add(part)
            task.mark(Stats.from_json(metadata[STATS_KEY]).rows, moment)

    def top1(self, task: Task) -> list[int]:
        """The first of the five classes."""
        folder = _output(task) / "predictions"
        if not folder.exists():
            return []
        rows = load_predictions(str(_output(task)), ["image_id", "top5_index"])
        ordered = sorted(rows.to_pylist(), key=lambda row: str(row["image_id"]))
        return [row["top5_index"][0] if row["top5_index"] else -1 for row in ordered]


class Cold(Ours):
    """The same with nothing prepared: it makes its graph within its time, as on a new node.

    The weights are there, and in the page cache like all that the others read.
    """

    name = "cold"
    title = "vggbatch, unprepared"

    def unfit(self, task: Task) -> str | None:
        """Why its time would mean nothing."""
        made = task.score_model.endswith(SYNTHETIC)
        return "random weights would be made within its time" if made else None

    def settings(self, task: Task) -> list[str]:
        """A cache that holds weights alone."""
        return [f"cache_dir={Path(task.work) / 'cache'}"]

    def command(self, task: Task) -> list[str]:
        """The command, once there is such a cache."""
        cache, weights = Path(task.work) / "cache", cache_folder(task.cache_dir) / "weights"
        cache.mkdir(mode=0o700)
        if weights.is_dir():
            (cache / "weights").symlink_to(weights.absolute())
        return super().command(task)


def _output(task: Task) -> Path:
    return Path(task.work) / "scored"
