"""The commands for model files: what there is, getting, checking, preparing, quantizing them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from vggbatch.cli import console
from vggbatch.errors import UsageError, VggbatchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vggbatch.config import Preprocess
    from vggbatch.models import CatalogEntry

app = typer.Typer(
    help="The zoo's models: list, get, verify, prepare and quantize them.",
    no_args_is_help=True,
)


class QuantFormat(str, Enum):
    """As `vggbatch.models.quantize.Format`."""

    qdq = "qdq"
    qoperator = "qoperator"


class Calibration(str, Enum):
    """As `vggbatch.models.quantize.Calibration`."""

    minmax = "minmax"
    entropy = "entropy"
    percentile = "percentile"


Name = Annotated[str, typer.Argument(metavar="MODEL", help="Zoo name, such as vgg16-12-int8.")]
AnyModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="Zoo name, NAME@synthetic, or an ONNX file.")
]
CacheDir = Annotated[
    str | None,
    typer.Option("--cache-dir", help="Where model files are kept; else $VGGBATCH_CACHE_DIR."),
]
Mirrors = Annotated[
    list[str] | None,
    typer.Option("--mirror", help="Folder or URI that has the zoo's files, tried first. Repeat."),
]


@app.command("list")
def list_models(cache_dir: CacheDir = None) -> None:
    """Show the twelve files of the zoo's VGG page."""
    from vggbatch.models import catalog
    from vggbatch.models.cache import weights_path

    table = Table(box=None, pad_edge=False)
    for name in ("model", "opset", "MB", "top-1 %", "top-5 %", "preprocessing", "here"):
        numeric = name in ("opset", "MB", "top-1 %", "top-5 %")
        table.add_column(name, justify="right" if numeric else "left")
    for entry in catalog().values():
        published = entry.published or {}
        here = weights_path(cache_dir, entry.weights.sha256, entry.weights.file).exists()
        table.add_row(
            entry.name,
            str(entry.opset),
            f"{entry.weights.bytes / 1e6:.0f}",
            *(f"{published[key]:.2f}" if published else "-" for key in ("top1", "top5")),
            entry.preprocess,
            "yes" if here else "-",
        )
    console.out.print(table)


@app.command()
def info(model: Name, cache_dir: CacheDir = None) -> None:
    """Show what is known of a zoo model."""
    from vggbatch.models.cache import weights_path

    entry = _entry(model)
    weights = entry.weights
    path = weights_path(cache_dir, weights.sha256, weights.file)
    ports = (entry.input or "as in the file", entry.output or "as in the file")
    facts = [
        ("model", f"{entry.title} ({entry.exporter}, opset {entry.opset})"),
        ("file", f"{weights.file}, {weights.bytes:,} bytes"),
        ("SHA-256", weights.sha256),
        ("test vectors", f"{entry.test_data.file}, {entry.test_data.bytes:,} bytes"),
        ("input, output", ", ".join(ports)),
        ("gives", entry.output_kind),
        ("quantized", entry.quantized or "no"),
        ("preprocessing", entry.preprocess),
    ]
    if entry.published:
        accuracy = f"top-1 {entry.published['top1']:.2f} %, top-5 {entry.published['top5']:.2f} %"
        facts.append(("published", f"{accuracy} on the ILSVRC2012 validation set"))
    here = str(path) if path.exists() else f"no: vggbatch models pull {entry.name}"
    console.facts([*facts, ("here", here)])


@app.command()
def pull(
    model: Name,
    mirror: Mirrors = None,
    cache_dir: CacheDir = None,
    test_data: Annotated[
        bool, typer.Option("--test-data", help="The zoo's test vectors instead of the weights.")
    ] = False,
) -> None:
    """Get a zoo model into the cache; size and SHA-256 are checked, a cut download goes on."""
    from vggbatch.models import pull

    entry = _entry(model)
    with console.interruptible(), console.transfer(entry.name) as progress:
        path = pull(
            entry,
            test_data=test_data,
            mirrors=mirror or (),
            cache_dir=cache_dir,
            progress=progress,
        )
    console.out.print(escape(str(path)), soft_wrap=True)


@app.command()
def verify(
    model: AnyModel,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", help="The zoo's .tar.gz or a folder; else it is pulled."),
    ] = None,
    mirror: Mirrors = None,
    cache_dir: CacheDir = None,
) -> None:
    """Run the zoo's test vectors through a model; exit status 1 if one fails."""
    from vggbatch.config import ModelOptions
    from vggbatch.models import prepare, pull, resolve
    from vggbatch.models.verify import verify

    resolved = resolve(ModelOptions(name=model), cache_dir=cache_dir, mirrors=mirror or ())
    if vectors is None and resolved.entry is None:
        raise UsageError(f"{model} is not the zoo's: name its test vectors with --vectors")
    with console.interruptible():
        if vectors is None:
            assert resolved.entry is not None
            with console.transfer(resolved.entry.test_data.file) as progress:
                vectors = pull(
                    resolved.entry,
                    test_data=True,
                    mirrors=mirror or (),
                    cache_dir=cache_dir,
                    progress=progress,
                )
        results = verify(prepare(resolved, cache_dir=cache_dir), vectors)
    console.facts(
        (
            result.name,
            f"{'pass' if result.passed else 'FAIL'}, {result.max_difference:.3g} at most from the "
            f"expected scores ({result.allowed:.3g} allowed)",
        )
        for result in results
    )
    failed = sum(not result.passed for result in results)
    if failed:
        raise VggbatchError(f"{failed} of {len(results)} test vectors fail on this machine")


@app.command()
def synthesize(
    model: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")],
    seed: Annotated[int, typer.Option("--seed", help="Of the random weights.")] = 0,
    shrink: Annotated[
        int, typer.Option("--shrink", min=1, help="Divide the width of every layer by this.")
    ] = 1,
) -> None:
    """Write a structural twin of a zoo model: its graph with random weights."""
    import onnx

    from vggbatch.models import synthesize

    entry = _entry(model)
    onnx.save(synthesize(entry.name, seed=seed, shrink=shrink), output)
    console.out.print(escape(str(output)), soft_wrap=True)
    console.warning("its weights are random: what it predicts means nothing")


@app.command()
def prepare(
    model: AnyModel,
    mirror: Mirrors = None,
    cache_dir: CacheDir = None,
    features: Annotated[
        bool, typer.Option("--features", help="With the fc7 activations as a second output.")
    ] = False,
) -> None:
    """Make the batchable file that scoring uses, optimised for this machine, or show it."""
    from vggbatch.config import ModelOptions
    from vggbatch.models import prepare, resolve

    resolved = resolve(ModelOptions(name=model), cache_dir=cache_dir, mirrors=mirror or ())
    with console.interruptible():
        prepared = prepare(resolved, cache_dir=cache_dir, features=features)
    facts = [
        ("file", str(prepared.path)),
        ("input", prepared.input),
        ("outputs", ", ".join(prepared.outputs)),
    ]
    if prepared.max_difference is not None:
        facts.append(("difference", f"{prepared.max_difference:.3g} at most from the original"))
    console.facts(facts)


@app.command()
def quantize(
    model: AnyModel,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Images to calibrate on: whatever score takes."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file to write.")],
    images: Annotated[
        int, typer.Option("--images", min=1, help="How many, spread evenly over the input.")
    ] = 50,
    quant_format: Annotated[
        QuantFormat, typer.Option("--format", help="Form of the int8 graph.")
    ] = QuantFormat.qdq,
    calibration: Annotated[
        Calibration, typer.Option("--calibration", help="How activations' ranges are chosen.")
    ] = Calibration.minmax,
    mirror: Mirrors = None,
    cache_dir: CacheDir = None,
) -> None:
    """Write an int8 version of an fp32 model, calibrated on images of yours.

    A YAML file beside it keeps the model's preprocessing, so that score takes it as it is.
    """
    import yaml

    from vggbatch.config import ModelOptions
    from vggbatch.models import resolve, synset
    from vggbatch.models.quantize import quantize
    from vggbatch.preprocess.profiles import resolve_profile
    from vggbatch.preprocess.transform import Normaliser

    if output.suffix != ".onnx":
        raise UsageError(f"the output {output} must end in .onnx")
    resolved = resolve(ModelOptions(name=model), cache_dir=cache_dir, mirrors=mirror or ())
    _, profile = resolve_profile(resolved.preprocess)
    if resolved.input_size not in (None, (profile.crop, profile.crop)):
        raise UsageError(
            f"{model} takes {resolved.input_size}, but its preprocessing crops {profile.crop}"
        )
    with console.interruptible():
        crops, failed = _calibration_crops(inputs, images, profile)
        if failed:
            console.warning(f"{console.plural(failed, 'image')} cannot be read and is left out")
        output.parent.mkdir(parents=True, exist_ok=True)
        quantize(
            resolved,
            crops,
            Normaliser(profile, layout=resolved.layout),
            output,
            quant_format=quant_format.value,
            calibration=calibration.value,
            cache_dir=cache_dir,
        )
    described: dict[str, Any] = {
        "layout": resolved.layout,
        "output": resolved.output,
        "preprocess": profile.model_dump(mode="json"),
    }
    if resolved.classes != synset():
        classes = output.with_suffix(".classes.txt")
        classes.write_text("\n".join(resolved.classes) + "\n")
        described["classes"] = classes.name
    output.with_suffix(".yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    console.facts([("calibrated on", console.plural(len(crops), "image")), ("file", str(output))])


def _calibration_crops(
    inputs: list[str], count: int, profile: Preprocess
) -> tuple[NDArray[np.uint8], int]:
    """Crops of images spread evenly over the inputs, and how many could not be read."""
    import numpy as np

    from vggbatch.config import DecodeOptions
    from vggbatch.errors import ImageError
    from vggbatch.preprocess.decode import decode_image
    from vggbatch.preprocess.transform import center_crop
    from vggbatch.sources import discover, reader_for

    def spread(length: int, wanted: int) -> NDArray[np.int64]:
        return np.linspace(0, length - 1, min(length, wanted)).astype(np.int64)

    options = DecodeOptions()
    shards = discover(inputs)
    # No more shards are opened than images wanted.
    chosen = [shards[i] for i in spread(len(shards), count)]
    share = -(-count // len(chosen))
    crops, failed = [], 0
    for shard in chosen:
        reader = reader_for(shard.format)
        members = reader.members(shard)
        members = members.take(spread(len(members), share))
        for data in reader.read(shard, members, options.max_bytes):
            try:
                if isinstance(data, ImageError):
                    raise data
                crops.append(center_crop(decode_image(data, options), profile))
            except ImageError:
                failed += 1
    if not crops:
        raise UsageError(f"none of the {failed} images tried in {', '.join(inputs)} can be read")
    return np.stack(crops[:count]), failed


def _entry(name: str) -> CatalogEntry:
    """The catalog's entry. Raises UsageError that names the nearest."""
    import difflib

    from vggbatch.models import catalog

    known = catalog()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UsageError(f"no model {name!r} in the zoo: did you mean {near!r}?")
    return known[name]
