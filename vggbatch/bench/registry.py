"""Which systems there are, in the order of the table."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vggbatch.errors import UsageError

if TYPE_CHECKING:
    from vggbatch.bench.systems.base import System

_CLASSES = {
    "bare": "bare.Bare",
    "prepared": "bare.Prepared",
    "decoding": "bare.Decoding",
    "loop1": "loop.Loop",
    "loop": "loop.BatchedLoop",
    "ray": "raydata.RayData",
    "daft": "daft.Daft",
    "torch": "torch.Torch",
    "openvino": "openvino.OpenVINO",
    "cold": "ours.Cold",
    "vggbatch": "ours.Ours",
}
"""Name -> module and class: a system's process imports no other's module."""

NAMES = tuple(_CLASSES)
PARTS_THAT_SEARCH = ("bare", "prepared")
"""onnxruntime alone, whose best batch is looked for first."""
REFERENCE = "loop1"
"""The system whose top-1 the others are held against."""


def system(name: str) -> System:
    """The system of a name."""
    module, kind = _CLASSES[name].split(".")
    found: type[System] = getattr(importlib.import_module(f"vggbatch.bench.systems.{module}"), kind)
    return found()


def choose(only: Sequence[str] = (), skip: Sequence[str] = ()) -> list[str]:
    """The names that are wanted, in order.

    Raises:
        UsageError: one is unknown, or none is left.
    """
    for name in (*only, *skip):
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.0)[0]
            raise UsageError(
                f"no system {name!r}, did you mean {near!r}? There are {', '.join(NAMES)}"
            )
    wanted = [name for name in NAMES if (name in only or not only) and name not in skip]
    if not wanted:
        raise UsageError("no system is left: --skip takes away all that --only names")
    return wanted
