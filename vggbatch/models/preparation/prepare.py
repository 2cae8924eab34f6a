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
import os
import pickle
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime
from filelock import FileLock

from vggbatch import process
from vggbatch.config import Preprocess
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models.cache import cache_folder, open_cache
from vggbatch.models.durable import sync
from vggbatch.models.local_files import base_name
from vggbatch.models.preparation.build import BuildJob
from vggbatch.models.preparation.entry import facts_of
from vggbatch.models.resolve import Model
from vggbatch.models.source_files import Source, original_file
from vggbatch.preprocess.profiles import resolve_profile

RECIPE = 4
"""Part of the key: raised whenever preparation makes another file of the same model."""

_BUILD_SECONDS = 3600
"""A VGG-19 takes one minute on two slow cores; a network that computes without end takes all."""

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


@dataclass(frozen=True)
class _Options:
    features: bool | str
    dense: bool
    normalize: Preprocess | None


def prepare(
    model: Model,
    *,
    cache_dir: str | None = None,
    features: bool = False,
    dense: bool = False,
    normalize: Preprocess | None = None,
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
        source: gives the bytes of the original's files, by name, where this node does not have
            them.

    Raises:
        UsageError: the graph cannot be made batchable, or somebody else could replace what is in
            the cache.
        VggbatchError: the bytes are missing or have another SHA-256, the prepared file does not
            compute what the original does, or the cache can be neither used nor written.
    """
    options = _Options(features and (model.features or True), dense, normalize)
    key = _key(model, options)
    open_cache(cache_dir)
    folder = _folder(model, cache_dir, key)
    try:
        facts = facts_of(folder, key)
        if facts is None:
            if folder.exists():
                log.warning("%s is not what was prepared: making it again", folder)
            facts = _made(model, folder, cache_dir, options, source)
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
    model: Model, *, cache_dir: str | None = None, features: bool = False, dense: bool = False
) -> bool:
    """Whether `prepare` would find its file in the cache."""
    key = _key(model, _Options(features and (model.features or True), dense, None))
    try:
        return facts_of(_folder(model, cache_dir, key), key, quick=True) is not None
    except (OSError, UsageError):
        return False


def _made(
    model: Model, folder: Path, cache_dir: str | None, options: _Options, source: Source | None
) -> dict[str, Any]:
    """The facts of the entry, once it is made, by this process or another."""
    key = _key(model, options)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        facts = facts_of(folder, key)
        if facts is None:
            _build(model, folder, cache_dir, options, source)
            facts = facts_of(folder, key)
    if facts is None:
        raise VggbatchError(f"{folder} has lost what was just written to it: is its disk damaged?")
    return facts


def _key(model: Model, options: _Options) -> dict[str, Any]:
    """All that the content of a prepared file follows from."""
    return {
        "model": model.sha256,
        "recipe": RECIPE,
        "onnxruntime": onnxruntime.__version__,
        "cpu": cpu_flags(),
        "features": options.features,
        "normalize": options.normalize and options.normalize.model_dump(),
        "input": model.input,
        "scores": model.scores,
        "binary": model.output if model.binary else None,
        **({"dense": True} if options.dense else {}),
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


def _build(
    model: Model,
    folder: Path,
    cache_dir: str | None,
    options: _Options,
    source: Source | None,
) -> None:
    """Make the folder; it appears under its name only when it is complete. Runs under its lock."""
    log.info("preparing %s for this machine (once)", model.name)
    for left in (folder, *folder.parent.glob(f".{folder.name}.*")):
        shutil.rmtree(left, ignore_errors=True)
    # A name of its own: what an orphan of a killed process still writes stays out of it.
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _, profile = resolve_profile(model.preprocess)
        job = BuildJob(
            name=model.name,
            original=original_file(model, work, cache_dir, source),
            synthetic_of=model.synthetic_of,
            work=work,
            target=work / "prepared",
            input=model.input,
            scores=model.scores,
            binary=model.output if model.binary else None,
            layout=model.layout,
            size=model.input_size or (profile.crop, profile.crop),
            profile=profile,
            features=options.features,
            dense=options.dense,
            normalize=options.normalize,
            key=_key(model, options),
        )
        (work / "job").write_bytes(pickle.dumps(job))
        _run_build(model, work / "job")
        # its content is on the disk by now: so it is there whole, or not at all
        os.rename(job.target, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_build(model: Model, job: Path) -> None:
    """Run the build as a process of its own; its last line says what failed."""
    command = process.python("vggbatch.models.preparation.build", str(job))
    environment = process.environment()
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise VggbatchError(
            f"{model.name} could not be prepared within {_BUILD_SECONDS // 60} minutes"
        ) from None
    if done.returncode == 0:
        return
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    if done.returncode == UsageError.exit_status:
        raise UsageError(lines[-1])
    if done.returncode < 0:
        lines = [f"killed by signal {-done.returncode}; is there enough memory on this machine?"]
    raise VggbatchError(f"{model.name} could not be prepared: {lines[-1]}")
