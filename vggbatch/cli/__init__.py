"""The command line: one module a group of commands, nothing in them that the API does not offer."""

from __future__ import annotations

import sys

import typer

from vggbatch.cli import console, streams
from vggbatch.cli.commands.bench import bench
from vggbatch.cli.commands.compare import compare
from vggbatch.cli.commands.config import config
from vggbatch.cli.commands.demo import demo
from vggbatch.cli.commands.doctor import doctor
from vggbatch.cli.commands.forget import forget
from vggbatch.cli.commands.merge import merge
from vggbatch.cli.commands.models import zoo
from vggbatch.cli.commands.pack import pack
from vggbatch.cli.commands.plan import plan
from vggbatch.cli.commands.predict import predict
from vggbatch.cli.commands.report import report
from vggbatch.cli.commands.rescore import rescore
from vggbatch.cli.commands.score import evaluate, score
from vggbatch.cli.commands.status import status
from vggbatch.cli.commands.submit import submit
from vggbatch.cli.help import Group, examples, polish
from vggbatch.cli.silence import explained
from vggbatch.cluster.quiet import own_stderr
from vggbatch.errors import VggbatchError
from vggbatch.versions import __version__

_RUN, _READ, _HELPERS = "Score images", "Look at the output", "Models and data"

app = typer.Typer(
    name="vggbatch",
    cls=Group,
    help="Score images in bulk with the ONNX model zoo's VGG networks, into Parquet.",
    epilog="Begin with: [bold]vggbatch demo[/]",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command(
    "score",
    rich_help_panel=_RUN,
    epilog=examples(
        "vggbatch score photos/ -o out",
        "vggbatch score 's3://bucket/shards/*.tar' -o s3://bucket/out -m vgg16-12-int8",
        "vggbatch score photos/ -o out -m net.onnx --set model.preprocess=squash",
    ),
)(score)
app.command(
    "evaluate",
    rich_help_panel=_RUN,
    epilog=examples(
        "vggbatch evaluate ILSVRC2012_img_val.tar -l ILSVRC2012_devkit_t12.tar.gz -o out",
        "vggbatch evaluate folder-per-class/ -l embedded -o out --json > result.json",
    ),
)(evaluate)
app.command("plan", rich_help_panel=_RUN, epilog=examples("vggbatch plan photos/ -o out"))(plan)
app.command(
    rich_help_panel=_RUN,
    epilog=examples("vggbatch predict cat.jpg", "vggbatch predict cat.jpg -m net.onnx --json"),
)(predict)
app.command(rich_help_panel=_RUN, epilog=examples("vggbatch demo -o out"))(demo)
app.command(
    rich_help_panel=_RUN,
    epilog=examples(
        "vggbatch score photos/ -o part-1 --part 1/2",
        "vggbatch merge part-1 part-2 -o out",
    ),
)(merge)
app.command(
    rich_help_panel=_RUN,
    epilog=examples("vggbatch forget out cat.jpg", "vggbatch forget out --list erased.txt"),
)(forget)
app.command(
    rich_help_panel=_READ,
    epilog=examples("vggbatch status out", "vggbatch status s3://bucket/out --json"),
)(status)
app.command(
    rich_help_panel=_READ,
    epilog=examples(
        "vggbatch rescore out -l real.json",
        "vggbatch rescore out -l val=LOC_val_solution.csv -l real=real.json -o rescored",
    ),
)(rescore)
app.command(
    rich_help_panel=_READ,
    epilog=examples("vggbatch compare out-fp32 out-int8"),
)(compare)
app.command(
    rich_help_panel=_READ,
    epilog=examples("vggbatch report out", "vggbatch report out-int8 --against out-fp32"),
)(report)
app.add_typer(zoo.app, name="models", rich_help_panel=_HELPERS)
app.command(
    rich_help_panel=_HELPERS,
    epilog=examples("vggbatch pack photos/ -o shards", "vggbatch pack photos/ -o s3://bucket/new"),
)(pack)
app.command(rich_help_panel=_HELPERS, epilog=examples("vggbatch bench images/ -m vgg16-12-int8"))(
    bench
)
app.command(
    rich_help_panel=_HELPERS,
    epilog=examples("vggbatch config", "vggbatch config compute", "vggbatch config --schema"),
)(config)
app.command(
    rich_help_panel=_HELPERS,
    epilog=examples("vggbatch doctor", "vggbatch doctor s3://bucket/out --write"),
)(doctor)
app.command(
    rich_help_panel=_RUN,
    # what follows the first word belongs to the command that is submitted
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "vggbatch submit --address http://HOST:8265 -- score s3://b/images -o s3://b/out"
    ),
)(submit)

polish(app)
polish(zoo.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vggbatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: bool = typer.Option(
        False,
        "--version",
        "-V",
        callback=_version,
        is_eager=True,
        help="Show the version and exit.",
    ),
) -> None:
    del version
    context.with_resource(explained(context.invoked_subcommand))


def main() -> None:
    """Run a command; a failure that the user can fix is one line and an exit status."""
    streams.use_utf8()
    own_stderr()
    streams.prepare()
    console.show_log_lines_whole()
    try:
        status = app(standalone_mode=False)
        streams.finish()
        sys.exit(status)
    except VggbatchError as error:
        console.failure(*error.lines)
        sys.exit(error.exit_status)
    except typer.TyperException as error:
        sys.exit(_refuse(error))
    except typer.Abort:
        # Ctrl-C in a command that leaves nothing half-done
        console.failure("interrupted")
        sys.exit(130)
    except OSError as error:
        # a disk or a store that fails under the driver itself, after its retries
        console.failure(_of_store(error))
        sys.exit(1)


def _of_store(error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and not streams.has_current_folder():
        return "the current folder is not there any more: change to another one"
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _refuse(error: typer.TyperException) -> int:
    """One line for a wrong command line, and its exit status."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return 2  # the help was printed
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "vggbatch"
    message = " ".join(error.format_message().split()).replace(": Value error, ", ": ")
    end = "" if message.endswith((".", "?")) else "."
    console.failure(f"{message}{end} See {command} --help")
    return 2
