"""The heavy half of preparation: graph surgery, onnxruntime's optimiser, and the proof of equality.

`prepare` runs it as a process of its own (`python -m vggbatch.models.build JOB`), because it needs
several times the weights' size, which a classifier should not carry around for ever after.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from vggbatch.config import Preprocess
from vggbatch.errors import VggbatchError
from vggbatch.models.dense import make_dense
from vggbatch.models.entry import seal
from vggbatch.models.graph import OLDEST_OPSET, is_quantized, make_batchable, opset
from vggbatch.models.normalise import add_normalisation
from vggbatch.models.runtime import open_network, write_optimised
from vggbatch.models.synthesis import synthesize
from vggbatch.models.widen import widen_first_convolution

TOLERANCE = 1e-4
"""Of the largest score: far above fp32 rounding, far below any mistake."""


@dataclass(frozen=True)
class BuildJob:
    """What to build, and where."""

    name: str
    original: Path
    """The verified original; made here first if `twin` names one."""
    twin: str | None
    work: Path
    """A folder for files that do not last."""
    target: Path
    """A new folder: gets model.onnx, model.data and prepared.json."""
    input: str
    layout: str
    size: tuple[int, int]
    """Height and width of the images of the proof."""
    features: bool
    dense: bool
    normalise: Preprocess | None
    key: Mapping[str, Any]
    """What the folder is made from and by, as its document will say."""


def build(job: BuildJob) -> None:
    """Make the prepared folder.

    Raises:
        UsageError: the graph cannot be made batchable.
        VggbatchError: the result does not compute what the original does.
    """
    if job.twin is not None:
        onnx.save(synthesize(job.twin), job.original)
    model = onnx.load(job.original)
    runnable = opset(model) >= OLDEST_OPSET
    outputs = make_batchable(model, input_name=job.input, features=job.features)
    quantized = is_quantized(model)
    if quantized:
        widen_first_convolution(model)
    input_name = job.input
    if job.normalise is not None:
        input_name = add_normalisation(
            model, input_name=job.input, layout=job.layout, profile=job.normalise
        )
    if job.dense:
        make_dense(model)
    batchable = job.work / "batchable.onnx"
    onnx.save(model, batchable)
    del model
    job.target.mkdir()
    _optimise(batchable, job.target)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *job.size, 3), np.uint8)
    values = _normalise(pixels, job.normalise or Preprocess(), job.layout)
    given = values if job.normalise is None else pixels
    scores, *more = _run(job.target / "model.onnx", input_name, given, optimised=True)
    facts = {
        "name": job.name,
        "input": input_name,
        "outputs": outputs,
        "features_width": int(more[0].reshape(2, -1).shape[1]) if more else None,
        "quantized": quantized,
        "max_difference": _check(job, values, scores) if runnable else None,
    }
    seal(job.target, job.key, facts)


def _optimise(source: Path, folder: Path) -> None:
    """Let onnxruntime optimise for this machine and save the result with prepacked weights."""
    settings = {
        "optimized_model_external_initializers_file_name": "model.data",
        "optimized_model_external_initializers_min_size_in_bytes": "1024",
        "save_external_prepacked_constant_initializers": "1",
    }
    write_optimised(source, folder / "model.onnx", settings=settings)


def _normalise(pixels: NDArray[np.uint8], profile: Preprocess, layout: str) -> NDArray[np.float32]:
    ordered = pixels[..., ::-1] if profile.channels == "BGR" else pixels
    values = (ordered / profile.scale - np.array(profile.mean)) / np.array(profile.std)
    arranged = values.transpose(0, 3, 1, 2) if layout == "NCHW" else values
    return np.ascontiguousarray(arranged, np.float32)


def _run(
    path: Path, name: str, images: NDArray[np.uint8] | NDArray[np.float32], *, optimised: bool
) -> list[NDArray[np.float32]]:
    session = open_network(path, optimise=not optimised)
    results: list[NDArray[np.float32]] = session.run(None, {name: images})
    return results


def _check(job: BuildJob, values: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """The largest difference from the original's scores, image by image."""
    expected = np.concatenate(
        [_run(job.original, job.input, value[None], optimised=False)[0] for value in values]
    )
    difference = float(np.abs(expected - scores).max())
    if not difference <= TOLERANCE * max(1e-30, float(np.abs(expected).max())):
        raise VggbatchError(
            f"{job.name} cannot be batched: two images at once give other scores than one by one "
            f"(largest difference {difference:.3g}); please export it with a free batch dimension"
        )
    return difference


def main() -> None:
    """Build the pickled job that the first argument names; one line on stderr if it fails."""
    job: BuildJob = pickle.loads(Path(sys.argv[1]).read_bytes())
    try:
        build(job)
    except VggbatchError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
