"""A seeded storm over the end of runs: markers, metrics, run.json, _SUCCESS, cleaning up.

    python -m tests.storm.finish --outputs 100 --seed 1

Each run is let alone until it comes to its end, and is then killed or paused at a random moment of
it; while it is paused, another driver runs the same command, or overwrites the output. The command
is repeated, and may be killed again. At last the output must be as an undisturbed run leaves it,
byte for byte, with every row once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.forking import Command
from tests.faults.harness import IMAGES, Bench

COMMANDS = ("score", "evaluate", "rescore")
KINDS = ("killed", "the same meanwhile", "overwritten meanwhile")
_BEGIN = {"rescore": "_vggbatch/lease.json"}
"""What appears when the end begins; else the first marker."""
_MARKER = "_vggbatch/*/groups/*.json"
_CLAIM = "_vggbatch/owner.*"
_BEYOND = 1.2
"""Times as long as the end of a run was measured to last."""
_POLL_S = 0.002
_TIMEOUT_S = 180


@dataclass
class Result:
    """What a storm did and what it left."""

    outputs: int = 0
    disturbed: Counter[str] = field(default_factory=Counter)
    """By kind."""
    moments: Counter[str] = field(default_factory=Counter)
    """By the last thing that was there."""
    missed: int = 0
    """Runs that were over before."""
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0

    def __str__(self) -> str:
        return (
            f"{self.disturbed.total()} times ({_listed(self.disturbed)}) at {_listed(self.moments)}"
            f", {self.missed} runs were faster, over {self.outputs} outputs: {self.lost} rows "
            f"lost, {self.doubled} doubled, {len(self.wrong)} wrong {self.wrong}"
        )


class FinishStorm:
    """Disturbs the ends of runs.

    Args:
        folder: an empty one.
        seed: of every choice.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.bench = Bench(folder)
        self.random = random.Random(seed)
        self.result = Result()
        self._lasts = {}
        for command in COMMANDS:
            self.bench.prepare(command)
            output = self._output(f"timed-{command}")
            driver = self._start(command, output)
            self._lasts[command] = self._time_of_end(command, driver, output)

    def blow(self, outputs: int) -> Result:
        """Bring so many outputs to their end."""
        for number in range(outputs):
            self._complete(self.random.choice(COMMANDS), self._output(f"storm-{number}"))
        self.bench.close()
        return self.result

    def _complete(self, command: str, output: Path) -> None:
        for _ in range(self.random.randint(0, 2)):
            self._disturb(command, output, "killed")
        kind = self.random.choice(KINDS)
        missed = self.result.missed
        status, text = self._disturb(command, output, kind)
        if kind == "overwritten meanwhile" and self.result.missed == missed:
            command = "other"
        verdict = self.bench.judge(command, str(output), status, text)
        self.result.outputs += 1
        if verdict.startswith("WRONG"):
            self.result.wrong.append(f"{command}, {kind}: {verdict}")
        elif command != "rescore":
            self._count_rows(output)

    def _disturb(self, command: str, output: Path, kind: str) -> tuple[int | None, str]:
        """One run; its status and what it printed."""
        driver = self._start(command, output)
        begun = self._until_begun(command, driver, output)
        driver.ended.wait(begun + self.random.uniform(0, self._lasts[command]) - time.monotonic())
        if not _signaled(driver, signal.SIGKILL if kind == "killed" else signal.SIGSTOP):
            assert driver.ended.wait(_TIMEOUT_S)
            self.result.missed += 1
            return driver.status, driver.log.read_text()
        self.result.disturbed[kind] += 1
        self.result.moments[_moment(output)] += 1
        if kind != "killed":
            self._meanwhile(command, output, kind)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGCONT)
        assert driver.ended.wait(_TIMEOUT_S)
        text = driver.log.read_text()
        return (None if driver.status == -signal.SIGKILL else driver.status), text

    def _meanwhile(self, command: str, output: Path, kind: str) -> None:
        words = self.bench.words(command, str(output))
        if kind == "overwritten meanwhile":
            words = [*self.bench.words("other", str(output)), "--overwrite"]
        status, text = self.bench.run(words, module="tests.faults.elsewhere")
        if status != 0:
            self.result.wrong.append(f"{command}, {kind}: the other has status {status}: {text}")

    def _output(self, name: str) -> Path:
        return Path(self.bench.store, name)

    def _start(self, command: str, output: Path) -> Command:
        return self.bench.forks.start(
            self.bench.words(command, str(output)), self.bench.environ, "vggbatch.cli"
        )

    def _until_begun(self, command: str, driver: Command, output: Path) -> float:
        """Wait until a run's end begins, or it is over; when that was."""
        pattern = _BEGIN.get(command, _MARKER)
        while not any(output.glob(pattern)) and not driver.ended.wait(_POLL_S):
            pass
        return time.monotonic()

    def _time_of_end(self, command: str, driver: Command, output: Path) -> float:
        """The seconds from a run's end's beginning until it has given its claim back."""
        begun = self._until_begun(command, driver, output)
        while any(output.glob(_CLAIM)) and not driver.ended.wait(_POLL_S):
            pass
        lasted = time.monotonic() - begun
        assert driver.ended.wait(_TIMEOUT_S)
        return _BEYOND * lasted

    def _count_rows(self, output: Path) -> None:
        from vggbatch import api

        expected = Counter(f"{number:05d}.jpg" for number in range(IMAGES))
        for place in (output, *output.glob("profiles/*")):
            rows = api.load_predictions(str(place), ["image_id"])["image_id"]
            ids = [name.rpartition("/")[2] for name in rows.to_pylist()]
            self.result.lost += (expected - Counter(ids)).total()
            self.result.doubled += (Counter(ids) - expected).total()


def _signaled(driver: Command, number: signal.Signals) -> bool:
    """Whether a run got a signal; else it is over, or will be reported as that at once."""
    if driver.ended.is_set():
        return False
    try:
        os.killpg(driver.pid, number)
    except ProcessLookupError:
        return False
    return True


def _moment(output: Path) -> str:
    for name in ("_SUCCESS", "run.json", "metrics"):
        if (output / name).exists():
            return name
    return "groups" if any(output.glob(_MARKER)) else "the opening"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def main() -> None:
    """Run a storm and print what it did."""
    parser = argparse.ArgumentParser(description="Disturb the ends of runs at random.")
    parser.add_argument("--outputs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        print(FinishStorm(Path(folder), args.seed).blow(args.outputs))
        print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
