"""One batchable, optimized file for this machine, made once, whose weights all processes share.

onnxruntime lays weights out for the machine's instruction set when it opens a file. Done once and
saved beside the graph, they are mapped read-only from then on: opening is fast, and the actors of
a node share one copy in the page cache.

A loader must set `graph_optimization_level = ORT_DISABLE_ALL` where the file is optimized already,
give it the batch that was proved, and set an explicit `intra_op_num_threads`; no more is needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnxruntime

from vggbatch.config import Preprocess
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models.cache import cache_folder, open_cache
from vggbatch.models.model import Model
from vggbatch.models.preparation.entry import Variant, facts_of
from vggbatch.uris import base_name

if TYPE_CHECKING:
    from vggbatch.models.source_files import Source

RECIPE = 5
"""Part of the key: raised whenever preparation makes another file of the same model."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedModel:
    """A file that onnxruntime opens as it is, and what its ports are."""

    path: Path
    input: str
    """float32 [N, 3, H, W], or [N, H, W, 3] for an NHWC model; uint8 RGB [N, crop, crop, 3] with
    normalization in the graph."""
    outputs: tuple[str, ...]
    """Scores float32 [N, classes] first, then, if asked for, features float32 [N, width]."""
    output_kind: Literal["logits", "probabilities"]
    features_width: int | None
    """Width of the features; None without them."""
    quantized: bool
    """Whether it computes with 8-bit integers."""
    batch: int | None
    """Images in each run, all of them needed; None for any number."""
    optimized: bool
    """Whether it is to be opened as it is; else onnxruntime optimizes it when it opens it."""
    max_difference: float | None
    """Largest difference from the original's scores on random images; None where onnxruntime
    cannot run the original (opset below 7)."""


def prepare(
    model: Model,
    *,
    cache_dir: str | None = None,
    features: bool = False,
    dense: bool = False,
    normalize: Preprocess | None = None,
    portable: bool = False,
    source: Source | None = None,
) -> PreparedModel:
    """Return the prepared file of a model, making it first if this node has none.

    Safe to call from many processes of many nodes at once: one builds, the others wait. What is in
    the cache already is returned without the original, once its content has been compared with the
    digests that it was made with (see verified.py for what that costs). Where it does not fit, it
    is made again.

    Args:
        model: as `resolve` describes it, on this or another machine.
        cache_dir: None: as `cache_folder` says.
        features: add the activations of the last hidden layer, or of the tensor that the model
            names, as a second output.
        dense: take images of any size, and average the scores over all positions (see dense.py).
        normalize: put this profile's arithmetic into the graph, so that it takes uint8 RGB crops
            [N, crop, crop, 3].
        portable: for other kernels than onnxruntime's own of the CPU.
        source: gives the bytes of the original's files, by name, where this node does not have
            them.

    Raises:
        UsageError: the graph cannot be made batchable, or somebody else could replace what is in
            the cache.
        VggbatchError: the bytes are missing or have another SHA-256, the prepared file does not
            compute what the original does, or the cache can be neither used nor written.
    """
    variant = Variant(features and (model.features or True), dense, normalize, portable)
    key = _key(model, variant)
    open_cache(cache_dir)
    folder = _folder(model, cache_dir, key)
    try:
        facts = facts_of(folder, key)
        if facts is None:
            if folder.exists():
                log.warning("%s is not what was prepared: making it again", folder)
            # not needed where the entry is there
            from vggbatch.models.preparation.making import make

            facts = make(model, folder, key, variant, cache_dir=cache_dir, source=source)
    except OSError as error:
        raise VggbatchError(
            f"the prepared network {folder} cannot be used, or made again "
            f"({error.strerror or error}): delete it, or name another folder (cache_dir or "
            "VGGBATCH_CACHE_DIR)"
        ) from None
    return PreparedModel(
        path=folder / "model.onnx",
        input=facts["input"],
        outputs=tuple(facts["outputs"]),
        output_kind=model.output,
        features_width=facts["features_width"],
        quantized=facts["quantized"],
        batch=facts["batch"],
        optimized=facts["optimized"],
        max_difference=facts["max_difference"],
    )


def is_prepared(
    model: Model,
    *,
    cache_dir: str | None = None,
    features: bool = False,
    dense: bool = False,
    portable: bool = False,
) -> bool:
    """Whether `prepare` would find its file in the cache."""
    key = _key(model, Variant(features and (model.features or True), dense, None, portable))
    try:
        return facts_of(_folder(model, cache_dir, key), key, quick=True) is not None
    except (OSError, UsageError):
        return False


def _key(model: Model, variant: Variant) -> dict[str, Any]:
    """All that the content of a prepared file follows from."""
    return {
        "model": model.sha256,
        "recipe": RECIPE,
        "onnxruntime": onnxruntime.__version__,
        "cpu": cpu_flags(),
        "features": variant.features,
        "normalize": variant.normalize and variant.normalize.model_dump(),
        "input": model.input,
        "scores": model.scores,
        "binary": model.output if model.binary else None,
        **({"dense": True} if variant.dense else {}),
        **({"portable": True} if variant.portable else {}),
    }


def _folder(model: Model, cache_dir: str | None, key: dict[str, Any]) -> Path:
    """Where the cache has the prepared file of a model, if it has it."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    stem = Path(base_name(model.name)).stem if model.entry is None else model.name
    return cache_folder(cache_dir) / "prepared" / f"{stem}-{digest}"


def cpu_flags() -> str:
    """A digest of this machine's instruction set: prepacked weights fit no other."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features")))
        text = " ".join(sorted(flags.split(":", 1)[1].split()))
    except (OSError, StopIteration):
        text = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {text}".encode()).hexdigest()[:12]
