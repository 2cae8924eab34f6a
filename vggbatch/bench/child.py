"""The process of a system that is written here: `python -m vggbatch.bench.child NAME TASK`."""

from __future__ import annotations

import sys

from vggbatch.bench.registry import system
from vggbatch.bench.task import Task

SEARCH = "search:"
"""Before a system's name: find out how onnxruntime is fastest with its graph."""


def main() -> None:
    """Do what the first argument names, with the task that the second one names."""
    name, task = sys.argv[1], Task.read(sys.argv[2])
    chosen = system(name.removeprefix(SEARCH))
    if name.startswith(SEARCH):
        from vggbatch.bench.systems.bare import Bare, search_to_file

        assert isinstance(chosen, Bare), f"{name} has no graph of its own"
        search_to_file(task, chosen)
        return
    from vggbatch.bench.systems.base import Program

    assert isinstance(chosen, Program), f"{name} is a command of its own"
    chosen.run(task)


if __name__ == "__main__":
    main()
