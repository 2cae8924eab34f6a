"""The command line: one module a group of commands, nothing in them that the API does not offer."""

from __future__ import annotations

import sys

import typer

import vggbatch
from vggbatch.cli import console, models
from vggbatch.cli.bench import bench
from vggbatch.cli.compare import compare
from vggbatch.cli.demo import demo
from vggbatch.cli.pack import pack
from vggbatch.cli.predict import predict
from vggbatch.cli.report import report
from vggbatch.cli.rescore import rescore
from vggbatch.cli.score import evaluate, plan, score
from vggbatch.cli.status import status
from vggbatch.errors import VggbatchError

app = typer.Typer(
    name="vggbatch",
    help="Score images in bulk with the ONNX model zoo's VGG networks, into Parquet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score")(score)
app.command("evaluate")(evaluate)
app.command("plan")(plan)
app.command()(predict)
app.command()(status)
app.command()(pack)
app.command()(rescore)
app.command()(compare)
app.command()(report)
app.add_typer(models.app, name="models")
app.command()(demo)
app.command()(bench)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vggbatch {vggbatch.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    del version


def main() -> None:
    """Run a command; a failure that the user can mend is one line and an exit status."""
    try:
        app()
    except VggbatchError as error:
        console.failure(str(error))
        sys.exit(error.exit_status)
    except OSError as error:
        # a disk or a store that fails under the driver itself, after its retries
        console.failure(f"{type(error).__name__}: {' '.join(str(error).split())}")
        sys.exit(1)
