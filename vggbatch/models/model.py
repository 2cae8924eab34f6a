"""A network as any node is to know it: what it is, without what reads and prepares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vggbatch.config import Preprocess
from vggbatch.models.catalog import CatalogEntry
from vggbatch.models.inspection.assumption import Assumption

SYNTHETIC = "@synthetic"


@dataclass(frozen=True)
class ModelFile:
    """One file of a network."""

    name: str
    """Relative to the graph's folder."""
    sha256: str


@dataclass(frozen=True)
class Model:
    """A network ready to be prepared on any node: small, picklable, without its weights."""

    name: str
    uri: str | None
    """Where the graph's file is; None for a synthetic model."""
    files: tuple[ModelFile, ...]
    """The graph's file and what it keeps its weights in; none for a synthetic."""
    sha256: str
    """Of the file, or of the names and digests of several; for a synthetic, of its name, seed and
    generator version."""
    synthetic: bool
    entry: CatalogEntry | None
    input: str
    layout: Literal["NCHW", "NHWC"]
    output: Literal["logits", "probabilities"]
    preprocess: str | Preprocess
    """A profile's name or its parts."""
    classes: tuple[str, ...]
    """In output order, `n01440764 tench, Tinca tinca`."""
    features: str | None
    """Tensor that the user named as features; None: what the layer of the classes takes."""
    input_size: tuple[int, int] | None
    """Height and width the graph asks for; None where they are free."""
    scores: str | None = None
    """The tensor with the scores; None: the graph's first output."""
    binary: bool = False
    """The graph has one score per image, of the second of two classes."""
    assumptions: tuple[Assumption, ...] = ()
    """What nobody stated, and what it was taken for."""

    @property
    def synthetic_of(self) -> str | None:
        """The zoo model that it is a synthetic model of; None for a network of its own weights."""
        return self.name.removesuffix(SYNTHETIC) if self.synthetic else None
