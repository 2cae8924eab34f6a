"""The heavy half of preparation: graph surgery, onnxruntime's optimizer, and the proof of equality.

`prepare` runs it as a process of its own (`python -m vggbatch.models.preparation.build JOB`),
because it needs several times the weights' size, which a classifier should not carry around.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from vggbatch.config import Preprocess
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.models.graphs.dense import make_dense
from vggbatch.models.graphs.graph import (
    OLDEST_OPSET,
    OutputKind,
    in_half,
    is_dynamically_quantized,
    is_quantized,
    make_batchable,
    opset,
)
from vggbatch.models.graphs.normalize import add_normalization
from vggbatch.models.graphs.ports import TAKEN, shape_of
from vggbatch.models.graphs.runtime import ONNXRUNTIME_ERRORS, reason, write_optimized
from vggbatch.models.graphs.saturation import inexact_products, saturates, unshare_integers
from vggbatch.models.graphs.widen import widen_first_convolution
from vggbatch.models.inspection.pictures import as_input, made_pictures
from vggbatch.models.preparation.entry import seal
from vggbatch.models.preparation.forms import Form, forms_of
from vggbatch.models.preparation.proof import (
    CannotOpen,
    Expected,
    NotProved,
    expected_scores,
    prove,
)
from vggbatch.models.synthesis import synthesize

_PICTURES = 4
_FAILURES: tuple[type[Exception], ...] = (
    NotProved,
    UsageError,
    RuntimeError,
    *ONNXRUNTIME_ERRORS,
)
"""What shows that a form does not do."""


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


def build(job: BuildJob) -> None:
    """Make the prepared folder, of the fastest form that computes what the original does.

    Raises:
        UsageError: the graph cannot be made batchable, or is not computed alike in any form.
    """
    if job.synthetic_of is not None:
        onnx.save(synthesize(job.synthetic_of), job.original)
    model: onnx.ModelProto | None = onnx.load(job.original)
    assert model is not None
    facts = _facts(model, job)
    exactly = facts.quantized and saturates()
    original = job.original
    if exactly and unshare_integers(model):
        original = job.work / "unshared.onnx"
        _save(model, original)
        model = None  # its weights went into the file
    pixels = made_pictures(_PICTURES, *job.size)
    values = as_input(pixels, job.normalize or job.profile, job.layout)
    expected = _expected(job, facts, original, values) if facts.runnable else None
    given = values if job.normalize is None else pixels
    failures: list[str] = []
    closed: set[tuple[bool, bool]] = set()
    for form in forms_of(fixed=facts.batch, quantized=facts.quantized, dynamic=facts.dynamic):
        kind = (form.optimized, form.prepacked)
        if kind in closed or (job.portable and form.optimized):
            continue
        # each is made of a fresh copy
        model = model or onnx.load(original)
        try:
            outputs, name = _write(model, form, job)
            if exactly:
                _check_products(form, job)
            proof = prove(
                job.target / "model.onnx", name, given, expected, form, optimized=form.optimized
            )
        except _FAILURES as failure:
            if isinstance(failure, UsageError) and not failures:
                raise
            failures.append(reason(failure))
            if isinstance(failure, CannotOpen):
                closed.add(kind)
            shutil.rmtree(job.target, ignore_errors=True)
            continue
        finally:
            model = None
        if job.dense and proof.batch is not None:
            raise UsageError(
                f"{job.name} takes batches of {proof.batch} only: dense evaluation needs a "
                "network that takes any number of images; use another protocol"
            )
        _write_facts(job, facts, form, proof.batch, proof.difference, outputs, name, proof.widths)
        return
    raise UsageError(
        f"{job.name} cannot be run, or gives other scores than as it is, in every form that can be "
        f"made of it (input {job.input!r} {facts.shape}; {failures[0]}): export it with a free "
        "batch dimension"
    )


@dataclass(frozen=True)
class _Facts:
    """What the original is."""

    runnable: bool
    quantized: bool
    dynamic: bool
    input_type: str
    batch: int | None
    shape: str
    half: bool
    """Whether any of it computes in float16."""


def _facts(model: onnx.ModelProto, job: BuildJob) -> _Facts:
    value = next((v for v in model.graph.input if v.name == job.input), None)
    if value is None:
        raise VggbatchError(f"{job.name} has no input {job.input!r}")
    shape = shape_of(value)
    return _Facts(
        runnable=opset(model) >= OLDEST_OPSET,
        quantized=is_quantized(model),
        dynamic=is_dynamically_quantized(model),
        input_type=TAKEN.get(value.type.tensor_type.elem_type, "float32"),
        batch=shape[0],
        half=in_half(model),
        shape=str(["?" if d is None else d for d in shape]).replace("'", ""),
    )


def _expected(job: BuildJob, facts: _Facts, original: Path, values: NDArray[Any]) -> Expected:
    """What the original gives."""
    try:
        return expected_scores(
            original,
            input=job.input,
            scores=job.scores,
            binary=job.binary,
            values=values.astype(facts.input_type),
            batch=facts.batch,
            half=facts.half,
        )
    except ONNXRUNTIME_ERRORS as error:
        raise UsageError(
            f"{job.name} cannot be run on its input {job.input!r} {facts.shape}: {reason(error)}"
        ) from None


def _write(model: onnx.ModelProto, form: Form, job: BuildJob) -> tuple[tuple[str, ...], str]:
    """Write a form of the network; returns its outputs and its input."""
    outputs = make_batchable(
        model,
        input_name=job.input,
        scores=job.scores,
        binary=job.binary,
        features=job.features,
        free=form.free,
        reshapes=form.reshapes,
    )
    if form.widened:
        widen_first_convolution(model)
    name = job.input
    if job.normalize is not None:
        name = add_normalization(
            model, input_name=job.input, layout=job.layout, profile=job.normalize
        )
    if job.dense:
        make_dense(model)
    job.target.mkdir()
    written = job.target / "model.onnx"
    if not form.optimized:
        _save(model, written)
        return outputs, name
    batchable = job.work / "batchable.onnx"
    _save(model, batchable)
    settings = {
        "optimized_model_external_initializers_file_name": "model.data",
        "optimized_model_external_initializers_min_size_in_bytes": "1024",
    }
    if form.prepacked:
        settings["save_external_prepacked_constant_initializers"] = "1"
    write_optimized(batchable, written, settings=settings)
    return outputs, name


def _check_products(form: Form, job: BuildJob) -> None:
    """Refuse a network whose integers this processor would add up wrongly."""
    # not what was written: packed weights show no values
    source = job.work / "batchable.onnx" if form.optimized else job.target / "model.onnx"
    # beside the weights, which it names as the source does
    opened = source.with_name("opened.onnx")
    write_optimized(source, opened)
    found = inexact_products(onnx.load(opened))
    opened.unlink()
    if found or saturates(precise=True):
        raise UsageError(
            f"{job.name} multiplies uint8 by int8 values ({found[0] if found else 'all layers'}), "
            "whose sums this processor, which has no VNNI, cuts off at 16 bits: quantize it with "
            "constant weights of 7 bits or of uint8, or take a processor with VNNI or the network "
            "in fp32"
        )


def _save(model: onnx.ModelProto, path: Path) -> None:
    data = path.with_suffix(".data")
    data.unlink(missing_ok=True)  # onnx appends to what is there
    onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=1024)


def _write_facts(
    job: BuildJob,
    facts: _Facts,
    form: Form,
    batch: int | None,
    difference: float | None,
    outputs: tuple[str, ...],
    name: str,
    widths: tuple[int, ...],
) -> None:
    known: dict[str, Any] = {
        "name": job.name,
        "input": name,
        "outputs": outputs,
        "features_width": widths[1] if job.features else None,
        "quantized": facts.quantized,
        "batch": batch,
        "optimized": form.optimized,
        "form": form.describe(),
        "max_difference": difference,
    }
    seal(job.target, job.key, known)


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
