"""The heavy half of preparation: graph surgery, onnxruntime's optimizer, and the proof of equality.

`prepare` runs it as a process of its own (`python -m vggbatch.models.preparation.build JOB`),
because it needs several times the weights' size, which a classifier should not carry around.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from vggbatch.errors import UsageError, VggbatchError
from vggbatch.exact_int8 import saturates
from vggbatch.models.graphs.graph import (
    OLDEST_OPSET,
    in_half,
    is_dynamically_quantized,
    is_quantized,
    opset,
)
from vggbatch.models.graphs.ports import TAKEN, shape_of
from vggbatch.models.graphs.runtime import ONNXRUNTIME_ERRORS, reason
from vggbatch.models.graphs.saturation import unshare_integers
from vggbatch.models.inspection.pictures import as_input, made_pictures
from vggbatch.models.preparation.build_job import BuildJob
from vggbatch.models.preparation.entry import seal
from vggbatch.models.preparation.forms import Form, forms_of
from vggbatch.models.preparation.proof import (
    CannotOpen,
    Expected,
    NotProved,
    expected_scores,
    prove,
)
from vggbatch.models.preparation.write_form import check_products, save, write_form
from vggbatch.models.synthesis import synthesize

_PICTURES = 4
_FAILURES: tuple[type[Exception], ...] = (
    NotProved,
    UsageError,
    RuntimeError,
    *ONNXRUNTIME_ERRORS,
)
"""What shows that a form does not do."""


def build(job: BuildJob) -> None:
    """Make the prepared folder, of the fastest form that computes what the original does.

    Raises:
        UsageError: the graph cannot be made batchable, or is not computed alike in any form.
    """
    if job.synthetic_of is not None:
        onnx.save(synthesize(job.synthetic_of), job.original)
    original, facts = _read(job)
    pixels = made_pictures(_PICTURES, *job.size)
    values = as_input(pixels, job.normalize or job.profile, job.layout)
    given = values if job.normalize is None else pixels
    with ThreadPoolExecutor(1) as beside:
        # onnxruntime opens a network on one core: the original while the first form is written
        expected = beside.submit(_expected, job, facts, original, values)
        _write_fastest(job, facts, original, given, expected)


def _write_fastest(
    job: BuildJob,
    facts: _Facts,
    original: Path,
    given: NDArray[Any],
    expected: Future[Expected | None],
) -> None:
    """Write the forms of a network, the fastest first, until one computes what it should."""
    failures: list[str] = []
    closed: set[tuple[bool, bool]] = set()
    for form in forms_of(fixed=facts.batch, quantized=facts.quantized, dynamic=facts.dynamic):
        kind = (form.optimized, form.prepacked)
        if kind in closed or (job.portable and form.optimized):
            continue
        try:
            outputs, name = write_form(original, form, job)
            if facts.saturates:
                check_products(form, job)
            proof = prove(
                job.target / "model.onnx",
                name,
                given,
                expected.result(),
                form,
                optimized=form.optimized,
            )
        except _FAILURES as failure:
            expected.result()
            if isinstance(failure, UsageError) and not failures:
                raise
            failures.append(reason(failure))
            if isinstance(failure, CannotOpen):
                closed.add(kind)
            shutil.rmtree(job.target, ignore_errors=True)
            continue
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
    saturates: bool
    """Whether this processor may cut off the sums of its integers."""


def _read(job: BuildJob) -> tuple[Path, _Facts]:
    """The original, rewritten where what it computes depends on the processor, and its facts."""
    model = onnx.load(job.original)
    facts = _facts(model, job)
    if not facts.saturates or not unshare_integers(model):
        return job.original, facts
    original = job.work / "unshared.onnx"
    save(model, original)
    return original, facts


def _facts(model: onnx.ModelProto, job: BuildJob) -> _Facts:
    value = next((v for v in model.graph.input if v.name == job.input), None)
    if value is None:
        raise VggbatchError(f"{job.name} has no input {job.input!r}")
    shape = shape_of(value)
    quantized = is_quantized(model)
    return _Facts(
        runnable=opset(model) >= OLDEST_OPSET,
        quantized=quantized,
        saturates=quantized and saturates(),
        dynamic=is_dynamically_quantized(model),
        input_type=TAKEN.get(value.type.tensor_type.elem_type, "float32"),
        batch=shape[0],
        half=in_half(model),
        shape=str(["?" if d is None else d for d in shape]).replace("'", ""),
    )


def _expected(
    job: BuildJob, facts: _Facts, original: Path, values: NDArray[Any]
) -> Expected | None:
    """What the original gives; None where onnxruntime cannot run it."""
    if not facts.runnable:
        return None
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
