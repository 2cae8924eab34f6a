"""The command that sends another one to a Ray cluster."""

from __future__ import annotations

import os
import re
import shlex
import signal
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vggbatch.cli import console
from vggbatch.errors import UsageError
from vggbatch.text import printable

if TYPE_CHECKING:
    from vggbatch.submit import RayJobs, Submission

_SECRET = re.compile("key|secret|token|password|credential", re.IGNORECASE)
"""In the name of an environment variable."""


def submit(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND...", help="Any command of vggbatch with its options."),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDRESS",
            help="The cluster's dashboard, http://HOST:8265; else $RAY_API_SERVER_ADDRESS or "
            "$RAY_ADDRESS.",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Show what it prints, and end with its exit status."),
    ] = False,
    stop_on_interrupt: Annotated[
        bool,
        typer.Option("--stop-on-interrupt", help="With --wait: Ctrl-C stops the job as well."),
    ] = False,
    working_dir: Annotated[
        str | None,
        typer.Option(
            "--working-dir",
            metavar="FOLDER",
            help="Folder to upload and run in: a checkout, or your configuration files. Else the "
            "nodes have all.",
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="NAME[=VALUE]",
            help="Environment variable for the job, by itself with its value here. Repeat.",
        ),
    ] = None,
    num_cpus: Annotated[
        float,
        typer.Option(
            "--entrypoint-num-cpus",
            metavar="N",
            min=0,
            help="CPUs held for the command beside its tasks.",
        ),
    ] = 0,
    memory: Annotated[
        int | None,
        typer.Option(
            "--entrypoint-memory",
            metavar="BYTES",
            min=1,
            help="Bytes of memory held for the command.",
        ),
    ] = None,
    resources: Annotated[
        list[str] | None,
        typer.Option(
            "--entrypoint-resource",
            metavar="NAME=AMOUNT",
            help="Custom resource held for the command: decides on which node it runs. Repeat.",
        ),
    ] = None,
) -> None:
    """Run a command of vggbatch on a Ray cluster, as a Ray job.

    One that is running already is joined; to resume what was stopped or lost, submit it again.
    """
    from vggbatch.submit import RayJobs, Submission, environment

    submission = Submission(
        words=tuple(words),
        working_dir=working_dir,
        environment=environment(env or ()),
        num_cpus=num_cpus,
        memory=memory,
        resources=_amounts(resources or ()),
    )
    _check(context.find_root().command, submission)
    for name in submission.environment:
        if _SECRET.search(name):
            console.warning(
                f"--env {name}: Ray writes its value to its logs and shows it to all who may use "
                "the cluster; credentials belong to the nodes (see deploy/README.md)"
            )
    jobs = RayJobs(address)
    submitted = jobs.submit(submission)
    job = submitted.id
    if submitted.joined:
        console.note("the same command is running already: nothing was started")
    facts = [("job", job), ("dashboard", jobs.page(job))]
    if not wait:
        console.facts(facts + _hints(jobs, job))
        return
    with warnings.catch_warnings():
        # Ctrl-C may fall between two steps of aiohttp, which then warns of what it did not await
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        try:
            console.facts(facts)
            for text in jobs.follow(job):
                console.out.file.write(printable(text, keep="\n\t"))
                console.out.file.flush()
            status = jobs.wait(job)
        except KeyboardInterrupt:
            status = _interrupted(jobs, job, stop=stop_on_interrupt)
    raise typer.Exit(status)


def _amounts(settings: list[str] | tuple[str, ...]) -> dict[str, float]:
    found = {}
    for setting in settings:
        name, _, amount = setting.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            raise UsageError(
                f"--entrypoint-resource takes NAME=AMOUNT, such as head=0.1, not {setting!r}"
            ) from None
    return found


def _check(command: Any, submission: Submission) -> None:
    """Parse the words as the job will, so that a mistake shows here and now.

    Files and stores are not looked at, for the job sees other ones.
    """
    from vggbatch.config import load_config

    context, name, words = None, "vggbatch", list(submission.words)
    while True:
        context = command.make_context(name, words, parent=context)
        if not hasattr(command, "resolve_command"):
            break
        # public in the click of its own that an older typer builds on
        first = getattr(context, "_protected_args", None) or context.protected_args
        name, command, words = command.resolve_command(context, [*first, *context.args])
    if command.name == "submit":
        raise UsageError("submit cannot submit itself: name the command to run after --")
    values = context.params
    _warn_of_relative(values, uploaded=submission.working_dir is not None)
    if "settings" in values:
        load_config(settings=values["settings"] or (), environ=submission.environment)
    file = values.get("config")
    if file is None or os.path.isabs(file):
        return
    if submission.working_dir is None:
        raise UsageError(
            f"--config {file} is read on the cluster: upload its folder with --working-dir, or "
            "give the path that it has in the image"
        )
    if "://" not in submission.working_dir:
        load_config(Path(submission.working_dir) / file, environ={})


def _warn_of_relative(values: dict[str, Any], *, uploaded: bool) -> None:
    """Say which paths mean another place on the cluster than here.

    Args:
        values: the parsed options of the command.
        uploaded: whether the command runs in a folder that is uploaded.
    """
    read = [*_texts(values.get("inputs")), *_texts(values.get("labels"))]
    read = [text.rpartition("=")[2] for text in read if text.rpartition("=")[2] != "embedded"]
    read += [text for text in _texts(values.get("model")) if text.endswith(".onnx")]
    for path in filter(_is_relative, _texts(values.get("output"))):
        console.warning(
            f"the output {path} is relative: on the cluster it is below the folder that Ray keeps "
            "for the job on one node; give an absolute path of a shared file system, or a URI"
        )
    for path in filter(_is_relative, () if uploaded else read):
        console.warning(
            f"{path} is relative, and the command runs in another folder on the cluster: give an "
            "absolute path that its nodes have, a URI, or upload the folder with --working-dir"
        )


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for text in values if isinstance(text, str)]


def _is_relative(path: str) -> bool:
    return "://" not in path and not os.path.isabs(path)


def _interrupted(jobs: RayJobs, job: str, *, stop: bool) -> int:
    """What Ctrl-C does to a job, and the exit status."""
    if stop:
        console.note(f"stopping job {job}; Ctrl-C again leaves it to itself")
        with console.interruptible():
            jobs.stop(job)
        raise console.Interrupted from None
    console.note(f"job {job} continues")
    console.facts(_hints(jobs, job))
    return 128 + signal.SIGINT


def _hints(jobs: RayJobs, job: str) -> list[tuple[str, str]]:
    """How to look after a job later."""
    where = f"--address {shlex.quote(jobs.url)} {job}"
    return [("follow", f"ray job logs --follow {where}"), ("stop", f"ray job stop {where}")]
