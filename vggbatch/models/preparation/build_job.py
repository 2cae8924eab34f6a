"""What a prepared file is to be made of; the driver hands it to the process that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggbatch.config import Preprocess
from vggbatch.models.graphs.graph import OutputKind


@dataclass(frozen=True)
class BuildJob:
    """What to build, and where."""

    name: str
    original: Path
    """The verified original; made here first if `synthetic_of` names one."""
    synthetic_of: str | None
    work: Path
    """A folder for files that do not last."""
    target: Path
    """A new folder: gets model.onnx, model.data and prepared.json."""
    input: str
    scores: str | None
    """The tensor with the scores; None: the first output."""
    binary: OutputKind | None
    """What the scores are where there is one per image."""
    layout: str
    size: tuple[int, int]
    """Height and width of the images of the proof."""
    profile: Preprocess
    """Gives the images of the proof their values."""
    features: bool | str
    """Whether to add the features, or those of which tensor."""
    dense: bool
    portable: bool
    """Whether it is to be left as it is for kernels that are not the CPU's."""
    normalize: Preprocess | None
    key: Mapping[str, Any]
    """What the folder is made from and by, as its document will say."""
