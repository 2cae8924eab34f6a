"""Writing one form of a network: graph surgery, then onnxruntime's optimizer."""

from __future__ import annotations

from pathlib import Path

import onnx

from vggbatch.errors import UsageError
from vggbatch.exact_int8 import saturates
from vggbatch.models.graphs.dense import make_dense
from vggbatch.models.graphs.graph import make_batchable
from vggbatch.models.graphs.normalize import add_normalization
from vggbatch.models.graphs.runtime import write_optimized
from vggbatch.models.graphs.saturation import inexact_products
from vggbatch.models.graphs.widen import widen_first_convolution
from vggbatch.models.preparation.build_job import BuildJob
from vggbatch.models.preparation.forms import Form


def write_form(original: Path, form: Form, job: BuildJob) -> tuple[tuple[str, ...], str]:
    """Write a form of the network; returns its outputs and its input."""
    model = onnx.load(original)
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
        save(model, written)
        return outputs, name
    batchable = job.work / "batchable.onnx"
    save(model, batchable)
    del model  # its weights went into the file, and the optimizer takes as much again
    settings = {
        "optimized_model_external_initializers_file_name": "model.data",
        "optimized_model_external_initializers_min_size_in_bytes": "1024",
    }
    if form.prepacked:
        settings["save_external_prepacked_constant_initializers"] = "1"
    write_optimized(batchable, written, settings=settings)
    return outputs, name


def check_products(form: Form, job: BuildJob) -> None:
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


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a network as a graph and a file of its weights, whatever was there."""
    data = path.with_suffix(".data")
    data.unlink(missing_ok=True)  # onnx appends to what is there
    onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=1024)
