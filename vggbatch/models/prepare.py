"""One batchable, optimised file for this machine, made once, whose weights all processes share.

onnxruntime lays weights out for the machine's instruction set when it opens a file. Done once and
saved beside the graph, they are mapped read-only from then on: opening is fast, and the actors of
a node share one copy in the page cache.

A loader must set `graph_optimization_level = ORT_DISABLE_ALL` (the file is optimised already) and
an explicit `intra_op_num_threads`; nothing else is needed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from filelock import FileLock
from numpy.typing import NDArray

from vggbatch.errors import VggbatchError
from vggbatch.models.cache import BLOCK, cache_folder, sha256_of, weights_path
from vggbatch.models.graph import OLDEST_OPSET, make_batchable, opset
from vggbatch.models.resolve import Model
from vggbatch.models.synthesis import synthesize
from vggbatch.storage import filesystem

RECIPE = 1
"""Part of the key: raised whenever preparation makes another file of the same model."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedModel:
    """A file that onnxruntime opens as it is, and what its ports are."""

    path: Path
    input: str
    """float32 [N, 3, H, W], or [N, H, W, 3] for an NHWC model."""
    outputs: tuple[str, ...]
    """Scores float32 [N, classes] first, then, if asked for, features float32 [N, width]."""
    output_kind: Literal["logits", "probabilities"]
    features_width: int | None
    """Width of the features; None without them."""
    max_difference: float | None
    """Largest difference from the original's scores on random images; None where onnxruntime
    cannot run the original (opset below 7)."""


def prepare(
    model: Model,
    *,
    cache_dir: str | None = None,
    features: bool = False,
    source: Callable[[], Iterable[bytes]] | None = None,
) -> PreparedModel:
    """Return the prepared file of a model, making it first if this node has none.

    Safe to call from many processes of many nodes at once: one builds, the others wait. What is in
    the cache already is returned in milliseconds, without the original.

    Args:
        model: as `resolve` describes it, on this or another machine.
        cache_dir: None: as `cache_folder` says.
        features: add the fc7 activations as a second output.
        source: gives the original's bytes where `model.uri` cannot be read from this node.

    Raises:
        UsageError: the graph cannot be made batchable.
        VggbatchError: the bytes are missing or have another SHA-256, or the prepared file does not
            compute what the original does.
    """
    key = {
        "model": model.sha256,
        "recipe": RECIPE,
        "onnxruntime": onnxruntime.__version__,
        "cpu": cpu_flags(),
        "features": features,
        "input": model.input,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    stem = Path(model.name).stem if model.entry is None else model.name
    folder = cache_folder(cache_dir) / "prepared" / f"{stem}-{digest}"
    if not (folder / "prepared.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "prepared.json").exists():
                _build(model, folder, cache_dir, features, source)
    facts = json.loads((folder / "prepared.json").read_text())
    return PreparedModel(
        path=folder / "model.onnx",
        input=facts["input"],
        outputs=tuple(facts["outputs"]),
        output_kind=model.output,
        features_width=facts["features_width"],
        max_difference=facts["max_difference"],
    )


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
    features: bool,
    source: Callable[[], Iterable[bytes]] | None,
) -> None:
    """Make the folder; it appears under its name only when it is complete. Runs under its lock."""
    log.info("preparing %s for this machine (once)", model.name)
    work = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        (work / "prepared").mkdir(parents=True)
        original = _original(model, work, cache_dir, source)
        graph = onnx.load(original)
        runnable = opset(graph) >= OLDEST_OPSET
        outputs = make_batchable(graph, input_name=model.input, features=features)
        onnx.save(graph, work / "batchable.onnx")
        del graph
        _optimise(work / "batchable.onnx", work / "prepared")
        images = _images(model)
        scores, *more = _run(work / "prepared" / "model.onnx", model.input, images, optimised=True)
        difference = None
        if runnable:
            difference = _check(model, original, images, scores)
        facts = {
            "name": model.name,
            "sha256": model.sha256,
            "input": model.input,
            "outputs": outputs,
            "features_width": more[0].shape[1] if more else None,
            "max_difference": difference,
        }
        (work / "prepared" / "prepared.json").write_text(json.dumps(facts, indent=1))
        os.rename(work / "prepared", folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _original(
    model: Model,
    work: Path,
    cache_dir: str | None,
    source: Callable[[], Iterable[bytes]] | None,
) -> Path:
    """A local file with the model's original bytes, their SHA-256 checked."""
    if model.synthetic:
        path = work / "original.onnx"
        onnx.save(synthesize(model.name.removesuffix("@synthetic")), path)
        return path
    kept = weights_path(cache_dir, model.sha256, Path(model.uri or model.name).name)
    for candidate in (kept, Path(model.uri or "")):
        if candidate.is_file():
            path = candidate
            break
    else:
        path = work / "original.onnx"
        with path.open("wb") as file:
            for block in source() if source else _read(model):
                file.write(block)
    digest = sha256_of(path)
    if digest != model.sha256:
        raise VggbatchError(
            f"{path} is not {model.name}: its SHA-256 is {digest[:16]}..., not "
            f"{model.sha256[:16]}...; delete it and pull again"
        )
    return path


def _read(model: Model) -> Iterable[bytes]:
    fs, path = filesystem(model.uri or "")
    try:
        with fs.open(path, "rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise VggbatchError(f"cannot read {model.uri} on {platform.node()}: {error}") from None


def _optimise(source: Path, folder: Path) -> None:
    """Let onnxruntime optimise for this machine and save the result with prepacked weights."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "model.onnx")
    for key, value in {
        "optimized_model_external_initializers_file_name": "model.data",
        "optimized_model_external_initializers_min_size_in_bytes": "1024",
        "save_external_prepacked_constant_initializers": "1",
    }.items():
        options.add_session_config_entry(f"session.{key}", value)
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _images(model: Model) -> NDArray[np.float32]:
    """Two different images of noise, about as large as the network's inputs are."""
    size = model.input_size or (224, 224)
    shape = (2, 3, *size) if model.layout == "NCHW" else (2, *size, 3)
    scale = 64 if model.preprocess == "caffe2" else 1
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    noise *= np.float32(scale)
    return noise


def _run(
    path: Path, name: str, images: NDArray[np.float32], *, optimised: bool
) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    results: list[NDArray[np.float32]] = session.run(None, {name: images})
    return results


TOLERANCE = 1e-4
"""Of the largest score: far above fp32 rounding, far below any mistake."""


def _check(
    model: Model, original: Path, images: NDArray[np.float32], scores: NDArray[np.float32]
) -> float:
    """The largest difference from the original's scores, image by image."""
    expected = np.concatenate(
        [_run(original, model.input, image[None], optimised=False)[0] for image in images]
    )
    difference = float(np.abs(expected - scores).max())
    if not difference <= TOLERANCE * max(1e-30, float(np.abs(expected).max())):
        raise VggbatchError(
            f"{model.name} cannot be batched: two images at once give other scores than one by one "
            f"(largest difference {difference:.3g}); please export it with a free batch dimension"
        )
    return difference
