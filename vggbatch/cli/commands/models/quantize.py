"""The command that makes a network int8 and says which layers it hurts."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vggbatch.cli import completion, console, options
from vggbatch.cli.commands.models.options import AnyModel, CacheDir, Mirrors, mirrors

if TYPE_CHECKING:
    from vggbatch.quantization.sensitivity import LayerNoise, Measured
    from vggbatch.quantization.workflow import Quantized

_SHOWN = 5
"""Layers that the report names, the worst ones."""


class QuantFormat(StrEnum):
    """As `vggbatch.quantization.quantizer.Format`."""

    qdq = "qdq"
    qoperator = "qoperator"


class Calibration(StrEnum):
    """As `vggbatch.quantization.quantizer.Calibration`."""

    minmax = "minmax"
    entropy = "entropy"
    percentile = "percentile"


Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.label_assignments,
        help="How INPUT and LABELS are read: columns.file, columns.label, columns.bytes, "
        "indices.start, indices.names, indices.folders.",
    ),
]


def quantize(
    model: AnyModel,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Images to calibrate on: whatever score takes."),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="ONNX file or URI to write.")
    ],
    images: Annotated[
        int,
        typer.Option(
            "--images", metavar="N", min=1, help="How many, spread evenly over the input."
        ),
    ] = 50,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", "-l", metavar="LABELS", help="Of INPUT; int8 is then measured against fp32."
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            min=0,
            metavar="POINTS",
            help="Leave the worst layers in fp32 until top-1 is this near to fp32's.",
        ),
    ] = None,
    quant_format: Annotated[
        QuantFormat, typer.Option("--format", help="Form of the int8 graph.")
    ] = QuantFormat.qdq,
    calibration: Annotated[
        Calibration,
        typer.Option(
            "--calibration",
            metavar="NAME",
            help="How activations' ranges are chosen: minmax, entropy, percentile.",
        ),
    ] = Calibration.minmax,
    limit: options.Limit = None,
    sample: options.Sample = None,
    seed: options.Seed = None,
    settings: Settings = None,
    address: options.Address = None,
    mirror: Mirrors = None,
    cache_dir: CacheDir = None,
    as_json: options.Json = False,
) -> None:
    """Write an int8 version of an fp32 model, calibrated on images of yours.

    A YAML file beside it keeps the model's preprocessing, so that score takes it as it is. With
    --address, or as a job of a Ray cluster, the cluster's tasks look at the images.
    """
    from vggbatch.config import ComputeOptions, ModelOptions, load_label_options
    from vggbatch.models.resolve import resolve
    from vggbatch.quantization.workflow import quantize_model

    console.configure(as_json=as_json)
    resolved = resolve(ModelOptions(name=model), cache_dir=cache_dir, mirrors=mirrors(mirror))
    with console.interruptible(), console.steps() as step:
        done = quantize_model(
            resolved,
            inputs,
            output,
            images=images,
            labels=labels,
            max_drop=max_drop,
            quant_format=quant_format.value,
            calibration=calibration.value,
            cache_dir=cache_dir,
            compute=ComputeOptions(address=address),
            reading=load_label_options(settings or ()),
            wanted=options.selection(limit, sample, seed),
            progress=step,
        )
    for kind in done.left_out:
        console.note(f"not calibrated on: {kind}")
    if done.failed:
        console.warning(f"{console.plural(done.failed, 'image')} cannot be read and is left out")
    if done.measured and not done.held_out:
        console.warning("too few labeled images to measure on others than those calibrated on")
    console.result({"file": output, **asdict(done)}, lambda: _show(done, output))


def _show(done: Quantized, output: str) -> None:
    _show_noise(done.noise)
    if done.measured:
        _show_accuracy(done)
    console.facts([("calibrated on", console.plural(done.calibrated, "image")), ("file", output)])


def _show_noise(noise: list[LayerNoise]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(f"layers that hurt most ({min(_SHOWN, len(noise))} of {len(noise)})")
    table.add_column("signal to noise in the scores, it alone in int8", justify="right")
    for layer in noise[:_SHOWN]:
        noise_free = layer.decibels is None
        table.add_row(layer.layer, "no noise" if noise_free else f"{layer.decibels:.1f} dB")
    console.out.print(table)


def _show_accuracy(done: Quantized) -> None:
    exact, int8, *steps = done.measured
    where = "held-out" if done.held_out else "the calibration's own"
    table = Table(box=None, pad_edge=False)
    table.add_column(f"on {where} {exact.images:,} images")
    for name in ("top-1 %", "images/s"):
        table.add_column(name, justify="right")

    def row(name: str, measured: Measured) -> None:
        table.add_row(name, f"{measured.top1:.2f}", f"{measured.rate:.1f}")

    row("fp32", exact)
    row("int8", int8)
    for step in steps:
        row(f"int8 without {step.left_float[-1]}", step)
    console.out.print(table)
    if steps:
        console.out.print(f"left in fp32: {', '.join(steps[-1].left_float)}", soft_wrap=True)
