"""One run of one system: its process is started, watched, and its figures are taken."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vggbatch.bench import processes
from vggbatch.bench.systems.base import System
from vggbatch.bench.task import Task
from vggbatch.process import environment as python_environment

_GLANCE = 0.1
"""Seconds between looks at the process."""
_MEMORY_SHARE = 0.01
"""Of one core, at most, that looking at memory may take."""
_STEADY = (0.1, 0.9)
"""Shares of the images between which a rate is called steady: without ramps at either end."""
_TIMEOUT = 3600.0


@dataclass(frozen=True)
class Measurement:
    """What was seen of one run. Seconds and bytes; None: not to be seen."""

    round: int
    network: str
    system: str
    whole: bool
    """Whether it did all of the work."""
    images: int
    seconds: float
    """From the start of the process to its end, imports and all."""
    first_seconds: float | None
    """From the start to the first predictions."""
    steady_rate: float | None
    """Images a second in between: the slope of progress from 10 % to 90 % of the images."""
    peak_bytes: int
    """Largest sum of the proportional set sizes (PSS) of the process and all under it."""
    top1: list[int]
    """Predicted classes, by image name."""
    error: str | None = None
    """Why it failed; then the figures mean nothing."""


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    status: int
    started: float
    """Seconds since 1970."""
    seconds: float
    peak_bytes: int


def measure(system: System, task: Task, number: int, network: str) -> Measurement:
    """Run a system once."""
    log = Path(task.work) / "log"
    usage = run(system.command(task), log, watch=lambda: system.watch(task))
    marks = task.read_marks()
    done = sum(images for _, images in marks)
    error = None if usage.status == 0 else last_line(log, usage.status)
    return Measurement(
        round=number,
        network=network,
        system=system.name,
        whole=system.whole,
        images=task.count if system.whole else done,
        seconds=usage.seconds,
        first_seconds=marks[0][0] - usage.started if marks else None,
        steady_rate=steady_rate(marks),
        peak_bytes=usage.peak_bytes,
        top1=[] if error else system.top1(task),
        error=error,
    )


def run(command: list[str], log: Path, *, watch: Callable[[], None] | None = None) -> Usage:
    """Run a command to its end, its output in `log`, and see how much memory its processes take.

    Whatever it has started is ended with it, also where it takes longer than an hour.
    """
    environment = python_environment()
    environment.pop("RAY_ADDRESS", None)
    seen: list[int] = []
    peak, next_look = 0, 0.0
    started, clock = time.time(), time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None and time.perf_counter() - clock < _TIMEOUT:
                now = time.perf_counter()
                if now >= next_look:
                    seen = processes.tree(process.pid)
                    peak = max(peak, processes.memory(seen))
                    cost = time.perf_counter() - now
                    # often in the beginning, so that something is seen of short runs too
                    next_look = now + max(_GLANCE, min(cost / _MEMORY_SHARE, (now - clock) / 10))
                if watch:
                    watch()
                _wait(process, _GLANCE)
            seconds = time.perf_counter() - clock
        finally:
            if process.poll() is None:
                processes.kill(processes.tree(process.pid))
                process.wait()
            processes.kill([pid for pid in seen if _is_orphan(pid)])
    return Usage(process.returncode, started, seconds, peak)


def steady_rate(marks: list[tuple[float, int]]) -> float | None:
    """The slope of images done over time, by least squares; None with too few marks to say."""
    if not marks:
        return None
    times = np.array([moment for moment, _ in marks])
    done = np.cumsum([images for _, images in marks])
    low, high = (share * done[-1] for share in _STEADY)
    within = (done >= low) & (done <= high)
    if np.count_nonzero(within) < 3 or np.ptp(times[within]) <= 0:
        return None
    return float(np.polyfit(times[within] - times[0], done[within], 1)[0])


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _is_orphan(process: int) -> bool:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return int(text[text.rindex(")") + 2 :].split()[1]) == 1


def last_line(log: Path, status: int) -> str:
    """What a process that failed said last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit status {status}"
