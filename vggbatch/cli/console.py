"""What the commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from vggbatch.cli import streams
from vggbatch.cli.one_line import cell, shown
from vggbatch.errors import VggbatchError
from vggbatch.text import printable, printable_json, public_values

if TYPE_CHECKING:
    from vggbatch.output.progress import Snapshot

_UNWRAPPED = 250
"""Columns where no terminal has a width: lines that go to a file or a pipe stay whole."""

streams.prepare()
_width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNWRAPPED


class _Terminal(Console):
    """Shows text, from wherever it comes, without what a terminal would act on."""

    last = 0.0
    """When something was printed last."""

    def print(self, *objects: Any, **options: Any) -> None:
        _Terminal.last = time.monotonic()
        super().print(*objects, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)


out = _Terminal(highlight=False, width=_width)
err = _Terminal(stderr=True, highlight=False)

_SECONDS_BETWEEN_LINES = 10.0


@dataclass
class _Wanted:
    """What the user asked to see."""

    quiet: bool = False
    progress: bool = True
    as_json: bool = False


_wanted = _Wanted()


def configure(
    *, verbose: bool = False, quiet: bool = False, progress: bool = True, as_json: bool = False
) -> None:
    """Say what a command prints.

    Args:
        verbose: the log lines of vggbatch and Ray too.
        quiet: warnings and errors only.
        progress: how far it is, where there is a way to say so.
        as_json: the result as one JSON document on standard output.
    """
    _wanted.quiet, _wanted.progress, _wanted.as_json = quiet, progress, as_json
    if verbose:
        from vggbatch.pipeline.run_logging import TextFormatter

        handler = logging.StreamHandler()
        handler.setFormatter(TextFormatter())
        logging.basicConfig(handlers=[handler])
        logging.getLogger("vggbatch").setLevel(logging.DEBUG)


def result(document: Any, show: Callable[[], None]) -> None:
    """Print what a command found: `document` where JSON is wanted, else `show` does it."""
    if _wanted.as_json:
        print(printable_json(json.dumps(public_values(document), indent=2, ensure_ascii=False)))
    elif not _wanted.quiet:
        show()


def failure(message: str, *details: str) -> None:
    """One line that says what is wrong; each detail is one more."""
    err.print(f"[bold red]error:[/] {cell(message)}", soft_wrap=True)
    for line in details:
        err.print(cell(line), soft_wrap=True)


def warning(message: str) -> None:
    """One line that the user should not miss."""
    err.print(f"[bold yellow]warning:[/] {cell(message)}", soft_wrap=True)


def note(message: str) -> None:
    """One line on what is continuing."""
    if not _wanted.quiet:
        err.print(cell(message), soft_wrap=True)


def taking_long(words: str) -> None:
    """One line on what takes long, where progress is wanted and somebody may wait for it."""
    if _wanted.progress and err.is_terminal:
        note(f"{words} ...")


def last_printed() -> float:
    """When something was printed last, by the monotonic clock."""
    return _Terminal.last


def line(text: str) -> None:
    """Print a text from outside as one line that is never cut, so that it can be copied."""
    out.print(shown(text), soft_wrap=True, markup=False)


class _OneLine(logging.Formatter):
    """What is logged where no handler is set up, as one line."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(record.getMessage())


def show_log_lines_whole() -> None:
    """Let warnings that the package logs be single lines without what a terminal acts on."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_OneLine())


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM, a scheduler's, into one line and exit status 130 or 143."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except _Terminated:
        raise Interrupted("terminated", 128 + signal.SIGTERM) from None
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        signal.signal(signal.SIGTERM, before)


class Interrupted(VggbatchError):
    """The user pressed Ctrl-C, or a scheduler ended the process."""

    def __init__(self, how: str = "interrupted", status: int = 130) -> None:
        super().__init__(f"{how}: what is committed stays, the same command continues from there")
        self.exit_status = status


class _Terminated(KeyboardInterrupt):
    """SIGTERM, on the way of Ctrl-C."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each; values are never cut, so that paths can be copied."""
    found = list(rows)
    width = max(len(name) for name, _ in found)
    for name, value in found:
        line(f"{name:<{width}}  {value}")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: `0:01:05`."""
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours}:{minutes:02d}:{int(seconds) % 60:02d}"


def plural(count: int, noun: str) -> str:
    """`1 shard`, `2,000 shards`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def about(count: int, *, exact: bool) -> str:
    """`2,000`, `~2,000` where it was estimated."""
    return f"{'' if exact else '~'}{count:,}"


@contextmanager
def transfer(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress callback for (bytes done, bytes in all) that draws a bar on a terminal."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=_wanted.quiet or not _wanted.progress or not err.is_terminal,
    ) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def rate(images_per_second: float) -> str:
    """`24.9 images/s`; `0.027 images/s`, where many views of an image are slow."""
    return f"{images_per_second:{'.1f' if images_per_second >= 1 else '.2g'}} images/s"


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """A callback for what is being done: the last on a terminal, else a line now and then."""
    if _wanted.quiet or not _wanted.progress:
        yield lambda text: None
        return
    if err.is_terminal:
        with err.status("") as status:
            yield lambda text: status.update(cell(text))
        return
    seldom = _Seldom(time.monotonic() - _SECONDS_BETWEEN_LINES)
    yield lambda text: note(text) if seldom.due() else None


@dataclass
class _Seldom:
    """Lets a line through every ten seconds."""

    last: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        if time.monotonic() - self.last < _SECONDS_BETWEEN_LINES:
            return False
        self.last = time.monotonic()
        return True


@contextmanager
def progress() -> Iterator[Callable[[Snapshot], None]]:
    """A progress callback that draws a bar on a terminal and prints plain lines elsewhere."""
    if _wanted.quiet:
        yield lambda snapshot: None
        return
    if not _wanted.progress:
        yield lambda snapshot: note(snapshot.note) if snapshot.note else None
        return
    if err.is_terminal:
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]} {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        ) as bar:
            task = bar.add_task("starting", total=None, count="", rate="")

            def draw(snapshot: Snapshot) -> None:
                if snapshot.note:
                    note(snapshot.note)
                bar.update(
                    task,
                    description="scoring",
                    total=snapshot.total,
                    completed=snapshot.rows,
                    count=f"{snapshot.rows:,}/{about(snapshot.total, exact=snapshot.exact)}",
                    rate=_rate(snapshot),
                )

            yield draw
        return
    seldom = _Seldom()

    def line(snapshot: Snapshot) -> None:
        if snapshot.note:
            note(snapshot.note)
        elif seldom.due():
            total = about(snapshot.total, exact=snapshot.exact)
            note(f"{snapshot.rows:,} of {total} images, {_rate(snapshot)}{_left(snapshot)}")

    yield line


def _rate(snapshot: Snapshot) -> str:
    errors = f", {plural(snapshot.errors, 'error')}" if snapshot.errors else ""
    return f"{rate(snapshot.images_per_second)}{errors}"


def _left(snapshot: Snapshot) -> str:
    if snapshot.images_per_second <= 0:
        return ""
    seconds = (snapshot.total - snapshot.rows) / snapshot.images_per_second
    return f", {duration(seconds)} left"
