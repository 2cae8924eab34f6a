"""An int8 network from images of the user's: calibrated, written, and measured layer by layer."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vggbatch.config import ComputeOptions, LabelOptions, Selection
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.labels import Labels, MultiLabels, load_classes, load_labels
from vggbatch.models.model import Model
from vggbatch.preprocess.pillow_globals import kept_globals
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.preprocess.transform import Normalizer
from vggbatch.quantization.calibration import Calibration, LocalObserver
from vggbatch.quantization.parts import divide, read, reporting
from vggbatch.quantization.quantizer import Format, Observe, Quantizer
from vggbatch.quantization.result import Limit, Quantized, publish
from vggbatch.quantization.sampling import ImagePool
from vggbatch.quantization.sensitivity import Progress, layer_noise, leave_worst
from vggbatch.quantization.versions import is_chance, measure, network_files
from vggbatch.storage.filesystem import Folder
from vggbatch.uris import base_name

_SMALLEST_DROP = 0.0001
"""Points of top-1: it takes millions of images to show that no more are lost."""
_NOISE_IMAGES = 8
"""Images that the layers are compared on: each gives a thousand scores."""


@kept_globals()
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
    """Write an int8 version of an fp32 model, with a YAML that describes it and a JSON record.

    Args:
        model: as `resolve` describes it.
        inputs: images to calibrate on, as `score` takes them.
        output: path or URI that ends in .onnx.
        images: how many to calibrate on.
        labels: of the inputs: fp32 and int8 are then measured on other images of the input.
        max_drop: points of top-1 that int8 may lie below fp32. While labeled images show that it
            lies below that, a further layer is left in fp32; others then report.
        quant_format: form of the int8 graph.
        calibration: how the ranges of activations are chosen.
        cache_dir: where model files are kept.
        compute: names the Ray cluster whose tasks look at the activations, each at some of the
            images; none, here or in RAY_ADDRESS: this process does.
        reading: names columns of the inputs and the labels, and says what indices count.
        wanted: the images of the inputs that all of this is about; None: all.
        progress: called with each step.

    Raises:
        UsageError: the model cannot be quantized, the output not be written or is the model
            itself, there are no images, none with a label, or too few to show that the drop is
            within the limit.
        VggbatchError: the images that report show that the drop is beyond the limit; the cluster
            does not answer, or a node of it has other versions.
    """
    _check(model, output, labels, max_drop)
    target = _folder_of(output)
    target.check_writable()
    _, profile = resolve_profile(model.preprocess)
    if model.input_size not in (None, (profile.crop, profile.crop)):
        raise UsageError(
            f"{model.name} takes {model.input_size}, but its preprocessing crops {profile.crop}"
        )
    reading = reading or LabelOptions()
    known = _labels(labels, model, reading)
    progress("finding images")
    pool = ImagePool(inputs, profile, known, reading.columns, wanted)
    parts = divide(pool, images, labels, max_drop)
    with (
        tempfile.TemporaryDirectory() as folder,
        _observer(compute or ComputeOptions(), progress) as observe,
    ):
        work = Path(folder)
        progress(f"reading {len(parts.calibrating) + len(parts.choosing)} images")
        calibrating, choosing = read(pool, parts, max_drop, work)
        progress(f"calibrating on {len(calibrating.labels)} images")
        quantizer = Quantizer(
            model,
            calibrating.crops,
            Normalizer(profile, layout=model.layout),
            work,
            quant_format=quant_format,
            calibration=calibration,
            cache_dir=cache_dir,
            observe=observe,
        )
        whole, written = work / "whole.onnx", work / "int8.onnx"
        quantizer.write(whole)
        shutil.copyfile(whole, written)
        few = calibrating.crops[:: max(1, len(calibrating.crops) // _NOISE_IMAGES)][:_NOISE_IMAGES]
        noise = layer_noise(quantizer, few, work, progress)
        steps = []
        if max_drop is not None:
            steps = leave_worst(quantizer, written, choosing, noise, max_drop, progress)
        left = steps[-1].left_float if steps else ()
        files = network_files(quantizer, {(): whole, left: written}, profile.crop)
        measured = []
        if known is not None:
            places = reporting(pool, max_drop, steps)
            progress(f"fp32 and int8 on {len(places)} other images, which report")
            measured = measure(quantizer, files, pool.read(places))
        against = measured[-1].against if measured else None
        done = Quantized(
            calibrated=len(calibrating.labels),
            chosen_on=len(choosing.labels),
            reported_on=against.images if against else 0,
            failed=pool.failed,
            repeated=pool.repeated,
            left_out=pool.left_out,
            noise=noise,
            steps=steps,
            measured=measured,
            at_chance=against is not None and is_chance(against, len(model.classes)),
            limit=Limit.of(max_drop, against) if max_drop is not None and against else None,
            left_float=left,
            int8_share=files[-1].int8_share,
        )
        _check_limit(done)
        asked = {
            "images": images,
            "max_drop": max_drop,
            "format": quant_format,
            "calibration": calibration,
        }
        publish(model, written, target, base_name(output), done, asked)
    return done


def _check(model: Model, output: str, labels: str | None, max_drop: float | None) -> None:
    if not base_name(output).endswith(".onnx"):
        raise UsageError(f"the output {output} must end in .onnx")
    same = os.path.exists(output) and os.path.exists(model.uri or "")
    if output == model.uri or (same and os.path.samefile(output, model.uri or "")):
        raise UsageError(f"the output {output} is the network itself: name another file with -o")
    if max_drop is None:
        return
    if labels is None:
        raise UsageError("--max-drop is measured on labeled images: name their labels, --labels")
    if not _SMALLEST_DROP <= max_drop <= 100:
        raise UsageError(
            f"--max-drop {max_drop:g}: no number of images shows that nothing at all is lost; name "
            f"points of top-1 from {_SMALLEST_DROP:g} to 100"
        )


def _labels(labels: str | None, model: Model, reading: LabelOptions) -> Labels | None:
    if not labels:
        return None
    found = load_labels(labels, load_classes(model.classes, reading.indices), reading.columns)
    if isinstance(found, MultiLabels):
        raise UsageError(f"{labels} has several classes an image; quantizing needs one each")
    return found


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


def _check_limit(done: Quantized) -> None:
    """Refuse a network that is shown to lose more than it may.

    Raises:
        VggbatchError: it is.
    """
    if done.limit is None or done.limit.shown != "beyond":
        return
    against = done.measured[-1].against
    assert against is not None
    raise VggbatchError(
        f"top-1 is {against.difference:.2f} points lower in int8 ({against.ci_low:.2f} to "
        f"{against.ci_high:.2f}) on {against.images:,} other images, more than --max-drop "
        f"{done.limit.max_drop:g}, which the {done.chosen_on:,} that choose layers did not show; "
        "nothing is written: allow more, or give more images"
    )


def _folder_of(output: str) -> Folder:
    return Folder(output[: output.rindex(base_name(output))] or ".")
