"""What a system is: a way to score a folder of images, in a process of its own."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from vggbatch import process
from vggbatch.bench.task import Task


class System(ABC):
    """A way to predict the classes of all images of a folder."""

    name: ClassVar[str]
    title: ClassVar[str]
    """As the table names it."""
    package: ClassVar[str] = "onnxruntime"
    """What must be importable."""
    install: ClassVar[str] = "pip install onnxruntime"
    whole: ClassVar[bool] = True
    """Whether it does all of the work, from image files to Parquet."""
    clustered: ClassVar[bool] = False
    """Whether it spreads over a cluster that it joins."""

    def missing(self) -> str | None:
        """What to install before it can run; None: nothing."""
        if importlib.util.find_spec(self.package) is None:
            return f"{self.package} is not installed ({self.install})"
        return None

    def unfit(self, task: Task) -> str | None:
        """Why it cannot run this network; None: it can."""
        del task
        return None

    @abstractmethod
    def command(self, task: Task) -> list[str]:
        """The process that is measured: from its start to its end."""

    def watch(self, task: Task) -> None:  # noqa: B027
        """Look at what the process does, a few times a second; for one that marks nothing."""

    def top1(self, task: Task) -> list[int]:
        """The predicted classes, by image name; fewer than all if only the first were predicted."""
        import pyarrow.dataset

        folder = Path(task.work) / "out"
        if not folder.exists():
            return []
        rows = pyarrow.dataset.dataset(folder, format="parquet").to_table().to_pylist()
        return [row["top1"] for row in sorted(rows, key=lambda row: str(row["image"]))]


def child_command(name: str, task: Task) -> list[str]:
    """The process that does a task, or what else child.py knows by a name."""
    return process.python("vggbatch.bench.child", name, str(task.write()))


class Program(System):
    """A system that is written here."""

    def command(self, task: Task) -> list[str]:
        """A process that does nothing but `run`."""
        return child_command(self.name, task)

    @abstractmethod
    def run(self, task: Task) -> None:
        """Do the work, in that process: mark each batch, leave the top-1 as Parquet."""
