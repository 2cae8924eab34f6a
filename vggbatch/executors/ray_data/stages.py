"""The stages of a run at a moment, as Ray Data has them."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("index", "decode", "classify", "write")
"""In the order in which `dataset.build` puts them."""


@dataclass(frozen=True)
class Stage:
    """One stage of the plan at a moment."""

    waiting: int
    """Blocks in front of it: shards of `index`, chunks of the others."""
    running: int
    """Tasks that hold a block, waiting for a CPU or at work."""
    actors: int = 0
    """Classifiers that are ready."""
    pending: int = 0
    """Classifiers that wait for a CPU, start, or start again."""
    restarting: int = 0
    """Those among them that start again, for their process or their node is gone."""
    busy: int = 0
    """Ready classifiers that have chunks."""
