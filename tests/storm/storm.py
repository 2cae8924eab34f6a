"""A seeded storm: a run is started, something in it is killed at a random moment, until it is done.

    python -m tests.storm.storm --kills 100 --seed 1 [--s3]

Kinds of kill, all SIGKILL: the driver; the driver with everything that it had started; of the local
executor a worker; of Ray a classifier, a task worker (decoding, writing or idle), the raylet. Every
other output is made by the local executor, the others by Ray on this machine. The next run starts
at once, beside what the dead one may have left alive. At the end the output is
compared with that of an undisturbed run, row by row and byte by byte.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.images import write_folder
from tests.support.nets import color_net
from vggbatch.output.layout import Output
from vggbatch.output.names import PREDICTIONS
from vggbatch.storage.filesystem import Folder

IMAGES = 1500
CHUNK = 4
KINDS = {
    "ray": ("driver", "everything", "classifier", "task", "raylet"),
    "local": ("driver", "everything", "worker"),
}
LONGEST = 18.0
"""Seconds after the start of a run by Ray until the first kill, at most: as long as one takes."""
SHORT = 10.0
"""The same of a run by the local executor."""

_COUNTER = """
import os, time
import PIL.Image
log = os.open(os.environ["STORM_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
plain = PIL.Image.open
def counting(*args, **options):
    os.write(log, b"x")
    time.sleep(0.015)
    return plain(*args, **options)
PIL.Image.open = counting
"""


@dataclass
class Result:
    """What a storm did and what it left."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    failed: int = 0
    """Runs that failed although nothing of theirs was killed."""
    outputs: int = 0
    """Outputs that were brought to their end."""
    lost: int = 0
    doubled: int = 0
    differing_files: int = 0
    decoded: int = 0
    """Images decoded in all runs together, of `outputs` times IMAGES."""

    def __str__(self) -> str:
        again = self.decoded / max(1, self.outputs * IMAGES) - 1
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({kinds}) in {self.runs} runs, of which {self.failed} "
            f"failed unharmed, over {self.outputs} outputs of {IMAGES} images: {self.lost} rows "
            f"lost, {self.doubled} doubled, {self.differing_files} files differ; {again:.1%} of "
            "the images decoded again"
        )


class Storm:
    """Runs and kills until outputs are complete.

    Args:
        folder: for everything that is local.
        seed: of every choice.
        uri: where outputs go; None: into the folder.
        executors: of the runs, in turns.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        uri: str | None = None,
        executors: Sequence[str] = ("local", "ray"),
    ) -> None:
        self.executors = executors
        self.folder = folder
        self.random = random.Random(seed)
        self.uri = uri or str(folder)
        write_folder(folder / "images", IMAGES)
        self.net = color_net(folder / "net.onnx")
        (folder / "site").mkdir()
        (folder / "site/sitecustomize.py").write_text(_COUNTER)
        self.log = folder / "decoded"
        self.result = Result()
        self.leftovers: list[psutil.Process] = []
        self._finish_run(self._start("calm"))
        self.calm = self._files("calm")
        self.log.unlink()

    def blow(self, kills: int) -> Result:
        """Kill so often, and bring the last output to its end."""
        while self.result.kills.total() < kills:
            name = f"storm{self.result.outputs}"
            while not self._run(name, kills):
                pass
            self._compare(name)
        return self.result

    @property
    def executor(self) -> str:
        """Of the runs on the output at hand."""
        return self.executors[self.result.outputs % len(self.executors)]

    def _run(self, name: str, kills: int) -> bool:
        """One run with kills; whether it came to its end."""
        self.result.runs += 1
        driver = self._start(name)
        wait = self.random.uniform(0.5, LONGEST if self.executor == "ray" else SHORT)
        unharmed = True
        while self.result.kills.total() < kills:
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(wait)
                break
            kind = self.random.choice(KINDS[self.executor])
            if self._kill(driver.pid, kind):
                self.result.kills[kind] += 1
                unharmed = False
            if kind in ("driver", "everything"):
                driver.wait()
                return False
            wait = self.random.uniform(0.5, 5)
        done = self._finish_run(driver)
        self.result.failed += unharmed and not done
        return done

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        words = ["score", self.folder / "images", "-m", self.net, "-o", f"{self.uri}/{name}"]
        words += ["--set", f"chunk_size={CHUNK}", "--set", "compute.num_cpus=2"]
        words += ["--executor", self.executor]
        environ = {
            **os.environ,
            "PYTHONPATH": f"{self.folder / 'site'}:{os.getcwd()}",
            "STORM_LOG": str(self.log),
            "VGGBATCH_CACHE_DIR": str(self.folder / "cache"),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "vggbatch", *map(str, words)],
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _finish_run(self, driver: subprocess.Popen[bytes]) -> bool:
        """Wait for the end of a run; one that a dead raylet took with it has to be repeated."""
        children = _children(driver.pid)
        status = driver.wait(300)
        self._end([*children, *self.leftovers])
        self.leftovers = []
        return status == 0

    def _kill(self, driver: int, kind: str) -> bool:
        children = _children(driver)
        if kind == "driver":
            # what it leaves behind continues for a while, beside the next run
            self.leftovers += children
            os.kill(driver, 9)
            return True
        if kind == "everything":
            os.kill(driver, 9)
            self._end(children)
            return True
        title = {
            "worker": "vggbatch.executors.local.worker",
            "classifier": "ray::MapWorker",
            "task": "ray::",
            "raylet": "raylet/raylet",
        }[kind]
        victims = [child for child in children if title in _title(child)]
        if not victims:
            return False
        with contextlib.suppress(psutil.Error):
            self.random.choice(victims).kill()
        return True

    def _end(self, processes: list[psutil.Process]) -> None:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def _files(self, name: str) -> dict[str, bytes]:
        folder = Folder(f"{self.uri}/{name}")
        # each run has an ID of its own, which the footers say
        run_id = Output(folder).plan_id.encode()
        return {
            info.path: folder.read_bytes(info.path).replace(run_id, b"ID")
            for info in folder.list(PREDICTIONS)
        }

    def _compare(self, name: str) -> None:
        from vggbatch import api

        expected = Counter(f"{number:05d}.jpg" for number in range(IMAGES))
        found = Counter(
            api.load_predictions(f"{self.uri}/{name}", ["image_id"])["image_id"].to_pylist()
        )
        self.result.outputs += 1
        self.result.lost += (expected - found).total()
        self.result.doubled += (found - expected).total()
        files = self._files(name)
        self.result.differing_files += sum(
            files.get(path) != self.calm.get(path) for path in {*files, *self.calm}
        )
        self.result.decoded = self.log.stat().st_size


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def main() -> None:
    """Run a storm and print what it did."""
    parser = argparse.ArgumentParser(description="Kill runs at random until they are done.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", choices=["local", "ray"], help="one alone, in place of both")
    parser.add_argument("--s3", action="store_true", help="write to a real S3 server")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        uri = None
        if args.s3:
            from tests.support.stores.s3 import bucket

            uri = stack.enter_context(bucket(Path(folder) / "s3"))
        started = time.monotonic()
        executors = [args.executor] if args.executor else ["local", "ray"]
        print(Storm(Path(folder), args.seed, uri, executors).blow(args.kills))
        print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
