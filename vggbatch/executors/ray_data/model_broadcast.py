"""A model and labels that only the driver has reach every node once, by Ray's object store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from vggbatch.labels import Labels

if TYPE_CHECKING:
    from vggbatch.models.model import Model

BLOCK = 64 * 2**20
"""Bytes of an object: what a node needs in its store at a time, and what Ray sends in one go."""


@dataclass(frozen=True)
class ModelBroadcast:
    """A model's files as blocks in the object store; it pickles as references to them.

    Called with a file's name, as `vggbatch.models.source_files.Source`. Nodes pull the blocks from
    each other, and only those ask that have no prepared file of the model.
    """

    blocks: dict[str, list[Any]]

    def __call__(self, name: str) -> Iterator[bytes]:
        """The content of one of the model's files."""
        for block in self.blocks[name]:
            yield ray.get(block)


@dataclass(frozen=True)
class StoredLabels:
    """Labels in the object store; it pickles as a reference to them."""

    reference: Any

    def __call__(self) -> Labels:
        """The labels."""
        labels: Labels = ray.get(self.reference)
        return labels


def broadcast_models(models: Sequence[Model], cache_dir: str | None) -> list[ModelBroadcast | None]:
    """Put the models' files, read on this machine, into the object store.

    Returns:
        For each model a broadcast; None where every node gets it by itself: it is made there, or
        has a URI.

    Raises:
        VggbatchError: the files have gone or changed since the model was resolved.
    """
    return [_broadcast(model, cache_dir) for model in models]


def _broadcast(model: Model, cache_dir: str | None) -> ModelBroadcast | None:
    if model.synthetic or "://" in (model.uri or ""):
        return None
    from vggbatch.models.source_files import original_file  # here, as labels need none of it

    with tempfile.TemporaryDirectory() as work:
        folder = original_file(model, Path(work), cache_dir, None).parent
        return ModelBroadcast({file.name: blocks_of(folder / file.name) for file in model.files})


def blocks_of(path: Path) -> list[Any]:
    """Put a file into the object store, block by block: references to them, in order."""
    references = []
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            references.append(ray.put(block))
    return references
