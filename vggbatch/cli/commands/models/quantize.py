"""The command that makes a network int8 and says which layers it hurts."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vggbatch.cli import completion, console, options
from vggbatch.cli.commands.models.options import AnyModel, CacheDir, Mirrors
from vggbatch.cli.one_line import cell
from vggbatch.errors import JobFailed

if TYPE_CHECKING:
    from vggbatch.quantization.accuracy import Paired
    from vggbatch.quantization.result import Limit, Quantized
    from vggbatch.quantization.sensitivity import LayerNoise, Step
    from vggbatch.quantization.versions import Version

_SHOWN = 5
"""Layers that the report names, the worst ones."""


class QuantFormat(StrEnum):
    """As `vggbatch.quantization.quantizer.Format`."""

    qdq = "qdq"
    qoperator = "qoperator"


class Calibration(StrEnum):
    """As `vggbatch.quantization.quantizer.Calibration`."""

    minmax = "minmax"
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
            "--labels", "-l", metavar="LABELS", help="Of INPUT; fp32 and int8 are then compared."
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            min=0,
            metavar="POINTS",
            help="Points of top-1 that int8 may lose: while images show that it loses more, a "
            "further layer stays in fp32. Others then report.",
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
            help="How activations' ranges are chosen: minmax, percentile.",
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

    A YAML file beside it keeps the model's preprocessing, so that score takes it as it is, and
    FILE.quantized.json what was measured. With --address, or as a job of a Ray cluster, the
    cluster's tasks look at the images.
    """
    from vggbatch import api
    from vggbatch.config import load_label_options

    console.configure(as_json=as_json)
    reading = load_label_options(settings or ())
    with console.interruptible(), console.steps() as step:
        done = api.quantize(
            model,
            inputs,
            output,
            images=images,
            labels=labels,
            max_drop=max_drop,
            quant_format=quant_format.value,
            calibration=calibration.value,
            select=options.selection(limit, sample, seed),
            columns=reading.columns,
            indices=reading.indices,
            address=address,
            mirrors=mirror or (),
            cache_dir=cache_dir,
            on_progress=step,
        )
    for kind in done.left_out:
        console.note(f"not calibrated on: {kind}")
    if done.failed:
        console.warning(f"{console.plural(done.failed, 'image')} cannot be read and is left out")
    if done.repeated:
        console.note(f"left out, as others have the same pixels: {done.repeated} images")
    guesses = done.at_chance and _guesses(done)
    if guesses and not done.limit:
        console.warning(guesses)
    if done.hardly_int8:
        console.warning(
            f"{done.int8_share:.0%} of the multiply-adds are int8: this is hardly an int8 network"
        )
    document = {"file": output, **asdict(done), "hardly_int8": done.hardly_int8}
    console.result(document, lambda: _show(done, output))
    # a script that goes on after status 0 would take the limit for shown
    if done.limit and (guesses or done.limit.shown == "neither"):
        raise JobFailed(
            f"{guesses or _not_shown(done, done.limit)}; {output} is written all the same"
        )


def _show(done: Quantized, output: str) -> None:
    _show_noise(done.noise)
    if done.steps:
        _show_steps(done.steps)
    if done.measured:
        _show_measured(done)
    facts = [("calibrated on", console.plural(done.calibrated, "image"))]
    if done.steps:
        facts.append(("layers chosen on", console.plural(done.chosen_on, "other image")))
        facts.append(("left in fp32", ", ".join(done.left_float) or "nothing more"))
    if done.limit:
        facts.append(("limit", _limit(done.limit)))
    if done.int8_share is not None:
        facts.append(("int8", f"{done.int8_share:.1%} of the multiply-adds"))
    console.facts([*facts, ("file", output)])


def _show_noise(noise: list[LayerNoise]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(f"layers that hurt most ({min(_SHOWN, len(noise))} of {len(noise)})")
    table.add_column("signal to noise in the scores, it alone in int8", justify="right")
    for layer in noise[:_SHOWN]:
        noise_free = layer.decibels is None
        name = cell(layer.layer)
        table.add_row(name, "no noise" if noise_free else f"{layer.decibels:.1f} dB")
    console.out.print(table)


def _show_steps(steps: list[Step]) -> None:
    """What was seen of the images that choose layers."""
    console.out.print(f"on {steps[0].against.images:,} images that choose layers")
    table = _paired_table()
    for step in steps:
        name = f"int8 without {cell(step.left_float[-1])}" if step.left_float else "int8"
        table.add_row(name, f"{step.against.quantized_top1:.2f}", *_paired(step.against))
    console.out.print(table)


def _show_measured(done: Quantized) -> None:
    console.out.print(f"on {done.reported_on:,} other images, which report")
    table = _paired_table()
    table.add_column("images/s", justify="right")
    for version in done.measured:
        top1, rate = f"{version.top1:.2f}", f"{version.rate:.1f}"
        paired = _paired(version.against) if version.against else [""] * 4
        table.add_row(_name(version), top1, *paired, rate)
    console.out.print(table)
    console.out.print("images/s: the network alone, steady, in turns, batches of 4")


def _paired_table() -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("network")
    for name in ("top-1 %", "points lost (95 %)", "only fp32", "only int8", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _paired(against: Paired) -> list[str]:
    return [
        f"{against.difference:.2f} ({against.ci_low:.2f} to {against.ci_high:.2f})",
        f"{against.only_original:,}",
        f"{against.only_quantized:,}",
        f"{against.mid_p_value:.2g}",
    ]


def _name(version: Version) -> str:
    if version.left_float is None:
        return "fp32"
    return f"int8, {len(version.left_float)} layers in fp32" if version.left_float else "int8"


def _guesses(done: Quantized) -> str:
    return (
        f"fp32 is right on {done.measured[0].top1:.2f} % of {done.reported_on:,} images, which "
        "may be chance: what int8 loses does not show; are these labels of this network?"
    )


def _not_shown(done: Quantized, limit: Limit) -> str:
    images = console.plural(done.reported_on, "image")
    line = f"whether less than {limit.max_drop:g} points are lost is not shown by {images}: "
    if limit.images_needed > done.reported_on:
        return f"{line}about {limit.images_needed:,} that report show it, if nothing is lost"
    against = done.measured[-1].against
    assert against is not None
    return f"{line}they lose {against.difference:.2f} points, which is too near"


def _limit(limit: Limit) -> str:
    shown = {
        "within": f"less than {limit.max_drop:g} points are lost",
        "neither": f"not shown that less than {limit.max_drop:g} points are lost",
        "beyond": f"more than {limit.max_drop:g} points are lost",
    }
    return shown[limit.shown]
