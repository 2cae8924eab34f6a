"""Networks: the zoo's files, and int8 versions of your own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vggbatch.api.locations import check_choice, texts
from vggbatch.config import (
    ColumnOptions,
    ComputeOptions,
    IndexOptions,
    LabelOptions,
    Location,
    ModelOptions,
    Selection,
    load_config,
)
from vggbatch.config.load import validate
from vggbatch.errors import UsageError
from vggbatch.models.catalog import entry_named
from vggbatch.models.fetch import pull as fetch
from vggbatch.models.resolve import resolve
from vggbatch.quantization.calibration import Calibration
from vggbatch.quantization.quantizer import Format
from vggbatch.quantization.result import Quantized
from vggbatch.quantization.workflow import quantize_model


def pull(
    model: str,
    *,
    test_data: bool = False,
    mirrors: Sequence[Location] = (),
    cache_dir: Location | None = None,
    offline: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Get a network of the zoo into the cache; size and SHA-256 are checked.

    A download that was cut continues.

    Args:
        model: its name, such as `vgg16-12-int8`.
        test_data: the zoo's test vectors instead of the weights.
        mirrors: folders or URIs that have the zoo's files, tried before those of VGGBATCH_MIRRORS
            and the public ones.
        cache_dir: None: VGGBATCH_CACHE_DIR, or the user's cache.
        offline: ask no public mirror.
        on_progress: called with the bytes that are there, and how many there will be.

    Returns:
        The file.

    Raises:
        UsageError: no such model, or not enough disk space.
        VggbatchError: no mirror gives the file.
    """
    return fetch(
        entry_named(model),
        test_data=test_data,
        mirrors=(*texts(mirrors), *load_config().mirrors),
        cache_dir=None if cache_dir is None else os.fspath(cache_dir),
        offline=offline,
        progress=on_progress,
    )


def quantize(
    model: Location,
    input: Location | Sequence[Location],
    output: Location,
    *,
    images: int = 50,
    labels: Location | None = None,
    max_drop: float | None = None,
    quant_format: Format = "qdq",
    calibration: Calibration = "minmax",
    select: Mapping[str, Any] | Selection | None = None,
    columns: Mapping[str, Any] | ColumnOptions | None = None,
    indices: Mapping[str, Any] | IndexOptions | None = None,
    address: str | None = None,
    mirrors: Sequence[Location] = (),
    cache_dir: Location | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Quantized:
    """Write an int8 version of an fp32 network, calibrated on images of yours.

    A YAML file beside it keeps the network's preprocessing, so that `score` takes it as it is, and
    FILE.quantized.json what was measured.

    Args:
        model: a name of the zoo, or an ONNX file or its URI.
        input: images to calibrate on, as `score` takes them.
        output: ONNX file or URI to write.
        images: how many to calibrate on, spread evenly over the input.
        labels: of the input; int8 is then measured against fp32, on other images of it.
        max_drop: points of top-1 that int8 may lie below fp32; for that the worst layers stay in
            fp32. Whether the images show that it is kept is in the result's `limit.shown`, and
            whether they could in `at_chance`.
        quant_format: form of the int8 graph: `qdq` or `qoperator`.
        calibration: how the ranges of activations are chosen: `minmax` or `percentile`.
        select: the images of the input that all of this is about, as the setting `select`.
        columns: how tables are read, as the setting `columns`.
        indices: what indices count, as the setting `indices`.
        address: a Ray cluster whose tasks look at the images; None: RAY_ADDRESS, or this process.
        mirrors: see `pull`.
        cache_dir: see `pull`.
        on_progress: called with a line for each step.

    Raises:
        UsageError: the network cannot be quantized, the output not be written, there are no images,
            none with a label, or too few to show that the drop is within the limit.
        VggbatchError: the drop is beyond the limit; the cluster does not answer, or a node of it
            has other versions.
    """
    check_choice("quant_format", quant_format, Format)
    check_choice("calibration", calibration, Calibration)
    if images < 1:
        raise UsageError(f"images is {images}: it takes one at least to calibrate on")
    cache = None if cache_dir is None else os.fspath(cache_dir)
    given = {"columns": columns, "indices": indices}
    reading = validate(
        LabelOptions,
        {name: value for name, value in given.items() if value is not None},
        origin="options",
    )
    wanted = None if select is None else validate(Selection, select, origin="select")
    resolved = resolve(
        ModelOptions(name=os.fspath(model)),
        cache_dir=cache,
        mirrors=(*texts(mirrors), *load_config().mirrors),
    )
    return quantize_model(
        resolved,
        texts(input),
        os.fspath(output),
        images=images,
        labels=None if labels is None else os.fspath(labels),
        max_drop=max_drop,
        quant_format=quant_format,
        calibration=calibration,
        cache_dir=cache,
        compute=ComputeOptions(address=address),
        reading=reading,
        wanted=wanted,
        progress=on_progress or (lambda step: None),
    )
