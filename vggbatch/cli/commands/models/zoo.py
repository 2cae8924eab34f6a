"""The commands for model files: what there is, getting, checking and preparing them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from vggbatch.cli import console, options
from vggbatch.cli.commands.models.options import (
    AnyModel,
    CacheDir,
    Mirrors,
    Name,
    Offline,
    mirrors,
)
from vggbatch.cli.commands.models.quantize import quantize
from vggbatch.cli.help import Group, examples
from vggbatch.errors import UsageError, VggbatchError

if TYPE_CHECKING:
    from vggbatch.models.catalog import CatalogEntry

app = typer.Typer(
    cls=Group,
    help="The zoo's models: list, get, verify, prepare and quantize them.",
    no_args_is_help=True,
)


@app.command("list")
def list_models(cache_dir: CacheDir = None, as_json: options.Json = False) -> None:
    """Show the twelve files of the zoo's VGG page."""
    from vggbatch.models.catalog import catalog

    console.configure(as_json=as_json)
    console.result(
        {"models": [_document(entry, cache_dir) for entry in catalog().values()]},
        lambda: _show_list(cache_dir),
    )


def _document(entry: CatalogEntry, cache_dir: str | None) -> dict[str, Any]:
    """A zoo model as `list --json` and `info --json` print it."""
    from vggbatch.models.cache import weights_path

    path = weights_path(cache_dir, entry.weights.sha256, entry.weights.file)
    return {
        "name": entry.name,
        "title": entry.title,
        "exporter": entry.exporter,
        "opset": entry.opset,
        "quantized": entry.quantized,
        "file": entry.weights.file,
        "bytes": entry.weights.bytes,
        "sha256": entry.weights.sha256,
        "output": entry.output_kind,
        "preprocess": entry.preprocess,
        "preprocess_source": entry.preprocess_source,
        "plausible": list(entry.plausible),
        "published": entry.published,
        "path": str(path) if path.exists() else None,
    }


def _show_list(cache_dir: str | None) -> None:
    from vggbatch.models.cache import weights_path
    from vggbatch.models.catalog import catalog

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
def info(model: Name, cache_dir: CacheDir = None, as_json: options.Json = False) -> None:
    """Show what is known of a zoo model."""
    from vggbatch.models.catalog import entry_named

    entry = entry_named(model)
    console.configure(as_json=as_json)
    console.result(_document(entry, cache_dir), lambda: _show_info(entry, cache_dir))


def _show_info(entry: CatalogEntry, cache_dir: str | None) -> None:
    from vggbatch.models.cache import weights_path

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
        ("preprocessing", f"{entry.preprocess} ({entry.preprocess_source})"),
        ("also plausible", ", ".join(entry.plausible)),
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
        bool,
        typer.Option("--test-data", help="The zoo's test vectors instead of the weights."),
    ] = False,
    offline: Offline = False,
    no_progress: options.NoProgress = False,
) -> None:
    """Get a zoo model into the cache; size and SHA-256 are checked, a cut download continues."""
    from vggbatch import api

    console.configure(progress=not no_progress)
    with console.interruptible(), console.transfer(model) as on_progress:
        path = api.pull(
            model,
            test_data=test_data,
            mirrors=mirror or (),
            cache_dir=cache_dir,
            offline=offline,
            on_progress=on_progress,
        )
    console.line(str(path))


@app.command()
def verify(
    model: AnyModel,
    vectors: Annotated[
        Path | None,
        typer.Option(
            "--vectors", metavar="PATH", help="The zoo's .tar.gz or a folder; else it is pulled."
        ),
    ] = None,
    mirror: Mirrors = None,
    cache_dir: CacheDir = None,
    offline: Offline = False,
) -> None:
    """Run the zoo's test vectors through a model; exit status 1 if one fails."""
    from vggbatch.config import ModelOptions
    from vggbatch.models.fetch import pull
    from vggbatch.models.preparation.prepare import prepare
    from vggbatch.models.resolve import resolve
    from vggbatch.models.test_vectors import verify

    resolved = resolve(ModelOptions(name=model), cache_dir=cache_dir, mirrors=mirrors(mirror))
    if vectors is None and resolved.entry is None:
        raise UsageError(f"{model} is not the zoo's: name its test vectors with --vectors")
    with console.interruptible():
        if vectors is None:
            assert resolved.entry is not None
            with console.transfer(resolved.entry.test_data.file) as progress:
                vectors = pull(
                    resolved.entry,
                    test_data=True,
                    mirrors=mirrors(mirror),
                    cache_dir=cache_dir,
                    offline=offline,
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
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="ONNX file to write.")
    ],
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the random weights.")] = 0,
    shrink: Annotated[
        int,
        typer.Option(
            "--shrink", metavar="N", min=1, help="Divide the width of every layer by this."
        ),
    ] = 1,
) -> None:
    """Write a structural synthetic of a zoo model: its graph with random weights."""
    import onnx

    from vggbatch.models.catalog import entry_named
    from vggbatch.models.synthesis import synthesize

    entry = entry_named(model)
    onnx.save(synthesize(entry.name, seed=seed, shrink=shrink), output)
    console.line(str(output))
    console.warning("its weights are random: what it predicts means nothing")


@app.command()
def prepare(
    model: AnyModel,
    mirror: Mirrors = None,
    cache_dir: CacheDir = None,
    features: Annotated[
        bool,
        typer.Option("--features", help="With the last hidden layer as a second output."),
    ] = False,
) -> None:
    """Make the batchable file that scoring uses, optimized for this machine, or show it."""
    from vggbatch.config import ModelOptions
    from vggbatch.models.preparation.prepare import prepare
    from vggbatch.models.resolve import resolve

    resolved = resolve(ModelOptions(name=model), cache_dir=cache_dir, mirrors=mirrors(mirror))
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


app.command(
    epilog=examples(
        "vggbatch models quantize net.onnx photos/ -o net-int8.onnx",
        "vggbatch models quantize net.onnx val/ -l labels.csv --max-drop 0.5 -o net-int8.onnx",
    )
)(quantize)
