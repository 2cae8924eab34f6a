"""An int8 network from images of the user's: calibrated, written, and measured layer by layer."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vggbatch.config import ComputeOptions, LabelOptions, Selection
from vggbatch.errors import UsageError
from vggbatch.labels import MultiLabels, load_classes, load_labels
from vggbatch.models.catalog import synset
from vggbatch.models.model import Model
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.preprocess.transform import Normalizer
from vggbatch.quantization.calibration import Calibration, LocalObserver
from vggbatch.quantization.quantizer import Format, Observe, Quantizer
from vggbatch.quantization.sampling import Sample, sample
from vggbatch.quantization.sensitivity import (
    Labeled,
    LayerNoise,
    Measured,
    Progress,
    compare,
    layer_noise,
    leave_worst,
)
from vggbatch.sources import InputWarning
from vggbatch.storage.filesystem import Folder
from vggbatch.uris import base_name

_NOISE_IMAGES = 8
"""Images that the layers are compared on: each gives a thousand scores."""
_MEASURED_IMAGES = 500
"""Labeled images at most: a minute of fp32 VGG-16 on two cores."""


@dataclass(frozen=True)
class Quantized:
    """What was written, and what it is worth."""

    calibrated: int
    """Images."""
    failed: int
    """Images that could not be read."""
    left_out: tuple[InputWarning, ...]
    """What else is in the input, and in the shards that were opened, by kind."""
    held_out: bool
    """Whether the labeled images are others than those calibrated on."""
    noise: list[LayerNoise]
    """The layers, the worst first."""
    measured: list[Measured]
    """With labels: fp32, int8, then int8 with one layer more in fp32 each; the last is written."""


def quantize_model(
    model: Model,
    inputs: Sequence[str],
    output: str,
    *,
    images: int,
    labels: str | None = None,
    max_drop: float | None = None,
    quant_format: Format = "qdq",
    calibration: Calibration = "minmax",
    cache_dir: str | None = None,
    compute: ComputeOptions | None = None,
    reading: LabelOptions | None = None,
    wanted: Selection | None = None,
    progress: Progress = lambda step: None,
) -> Quantized:
    """Write an int8 version of an fp32 model, and a YAML that describes it, beside each other.

    Args:
        model: as `resolve` describes it.
        inputs: images to calibrate on, as `score` takes them.
        output: path or URI that ends in .onnx.
        images: how many to calibrate on.
        labels: of the inputs: fp32 and int8 are then measured, on other images of the input than
            the calibration's if there are twice as many labeled ones.
        max_drop: points of top-1 that int8 may lie below fp32; layers are left in fp32 until then.
        quant_format: form of the int8 graph.
        calibration: how the ranges of activations are chosen.
        cache_dir: where model files are kept.
        compute: names the Ray cluster whose tasks look at the activations, each at some of the
            images; none, here or in RAY_ADDRESS: this process does.
        reading: names columns of the inputs and the labels, and says what indices count.
        wanted: the images of the inputs that all of this is about; None: all.
        progress: called with each step.

    Raises:
        UsageError: the model cannot be quantized, the output not be written, or there are no
            images, or none with a label.
        VggbatchError: the cluster does not answer, or a node of it has other versions.
    """
    if not base_name(output).endswith(".onnx"):
        raise UsageError(f"the output {output} must end in .onnx")
    if max_drop is not None and labels is None:
        raise UsageError("--max-drop is measured on labeled images: name their labels, --labels")
    target = _folder_of(output)
    target.check_writable()
    _, profile = resolve_profile(model.preprocess)
    if model.input_size not in (None, (profile.crop, profile.crop)):
        raise UsageError(
            f"{model.name} takes {model.input_size}, but its preprocessing crops {profile.crop}"
        )
    reading = reading or LabelOptions()
    classes = load_classes(model.classes, reading.indices)
    known = load_labels(labels, classes, reading.columns) if labels else None
    if isinstance(known, MultiLabels):
        raise UsageError(f"{labels} has several classes an image; quantizing needs one each")
    progress("reading images")
    count = images + (_MEASURED_IMAGES if labels else 0)
    drawn = sample(inputs, count, profile, known, reading.columns, wanted)
    chosen, labeled, held_out = _split(drawn, images)
    if labels and not len(labeled.labels):
        raise UsageError(f"{labels} has no label for any of {len(drawn.labels)} images")
    with (
        tempfile.TemporaryDirectory() as folder,
        _observer(compute or ComputeOptions(), progress) as observe,
    ):
        work, graph = Path(folder), Path(folder) / "int8.onnx"
        progress(f"calibrating on {len(chosen)} images")
        quantizer = Quantizer(
            model,
            drawn.crops[chosen],
            Normalizer(profile, layout=model.layout),
            work,
            quant_format=quant_format,
            calibration=calibration,
            cache_dir=cache_dir,
            observe=observe,
        )
        quantizer.write(graph)
        few = drawn.crops[chosen[:: max(1, len(chosen) // _NOISE_IMAGES)][:_NOISE_IMAGES]]
        noise = layer_noise(quantizer, few, work, progress)
        measured: list[Measured] = []
        if labels:
            measured = compare(quantizer, graph, labeled, progress)
        if max_drop is not None:
            measured += leave_worst(quantizer, graph, labeled, measured, noise, max_drop, progress)
        _publish(model, graph, target, base_name(output))
    return Quantized(len(chosen), drawn.failed, drawn.left_out, held_out, noise, measured)


@contextlib.contextmanager
def _observer(compute: ComputeOptions, progress: Progress) -> Iterator[Observe]:
    """Who looks at the activations."""
    if compute.cluster_address is None:
        yield LocalObserver
        return
    # only here: a second of imports that one machine does without
    from vggbatch.cluster.connection import ray_cluster
    from vggbatch.quantization.ray_calibration import ClusterObserver

    with ray_cluster(compute, chunk_bytes=0) as cluster:
        progress(f"joined a cluster of {len(cluster.node_cpus)} nodes")
        yield functools.partial(ClusterObserver, node_cpus=cluster.node_cpus)


def _split(drawn: Sample, count: int) -> tuple[np.ndarray[Any, Any], Labeled, bool]:
    """Positions of the images to calibrate on, and the labeled ones to measure on."""
    everything = np.arange(len(drawn.labels))
    chosen = np.linspace(0, len(everything) - 1, min(count, len(everything))).astype(np.int64)
    labeled = everything[drawn.labels >= 0]
    apart = np.setdiff1d(labeled, chosen)
    held_out = len(apart) >= len(chosen)
    kept = (apart if held_out else labeled)[:_MEASURED_IMAGES]
    return chosen, Labeled(drawn.crops[kept], drawn.labels[kept]), held_out


def _folder_of(output: str) -> Folder:
    return Folder(output[: output.rindex(base_name(output))] or ".")


def _publish(model: Model, graph: Path, folder: Folder, base: str) -> None:
    """Write the network and what the file does not say of it, so that score takes it as it is."""
    _, profile = resolve_profile(model.preprocess)
    described: dict[str, Any] = {
        "layout": model.layout,
        "output": model.output,
        "preprocess": profile.model_dump(mode="json"),
    }
    stem = base.removesuffix(".onnx")
    if model.classes != synset():
        described["classes"] = f"{stem}.classes.txt"
        folder.write_bytes(described["classes"], ("\n".join(model.classes) + "\n").encode())
    folder.write_bytes(f"{stem}.yaml", yaml.safe_dump(described, sort_keys=False).encode())
    with folder.open_atomic(base) as file, graph.open("rb") as source:
        while block := source.read(2**23):
            file.write(block)
