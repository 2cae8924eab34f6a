"""Runs whose k-th operation fails, kills them or pauses them, each followed by the same command.

    python -m tests.faults.harness [--command NAME ...] [--action NAME ...] [--store disk|s3]
                                   [--every N] [--first K] [--log FILE]

Commands: score, evaluate (two profiles), rescore, overwrite, pack, report, cold (an empty cache),
merge (of two parts), append (and prune), retry, forget. Actions on a disk: eio, enospc (that
operation and all later ones), repeated (it is done, and answered as NFS answers a request that was
sent twice), kill (before it), kill-after; on S3: 500, 500-after (the server has stored the object),
kill, kill-after. On both: stop (the run is paused before it, another driver runs the same command,
the paused one continues), stop-overwrite (the other driver has other settings and --overwrite).
Every operation that changes something below OUTPUT is counted, over all processes of the run
(`shim.c`; on S3 the requests of a proxy).

Where the disturbed command says that it is complete, all of its files must be as an undisturbed
run leaves them. Afterwards the same command must complete the output byte for byte as that run
leaves it, with no other file, or refuse in one line, in which case the command with --overwrite
must complete it. An output that is revised (append, retry, forget) has to be complete and
readable after every fault, before anything is repeated.

Commands are real ones, with real processes that score, but are forked (`forking.py`) rather than
started; the second driver watches a silent lease for one second instead of 30 (`elsewhere.py`); on
S3 botocore does not repeat requests. After `kill-after` at k all is as after `kill` at k + 1, where
no two processes write at the same time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image

from tests.faults.forking import Command, Forks
from tests.support.images import cut, jpeg
from tests.support.nets import color_net
from vggbatch.output.names import PLAN, RECORD_MARK

IMAGES, SHARDS = 12, 2
ON_DISK = ("eio", "enospc", "repeated", "kill", "kill-after", "stop", "stop-overwrite")
ON_S3 = ("500", "500-after", "kill", "kill-after", "stop", "stop-overwrite")
COMMANDS = ("score", "evaluate", "rescore", "overwrite", "pack", "report", "cold", "merge")
REVISIONS = ("append", "retry", "forget")
COMMANDS += REVISIONS
_SHIM = Path(__file__).with_name("shim.c")
_TIMEOUT_S = 180
_FOOTER = re.compile(rb"(vggbatch\.run_id..)[0-9a-f]{16}", re.DOTALL)
_PREPROCESS = {"resize": 36, "crop": 32}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one fault led to."""

    action: str
    at: int
    operation: str
    status: int | None
    """Of the disturbed command; None: it was killed."""
    kind: str
    """completed, continued, refused, unharmed (the fault did not come), or WRONG and why."""

    @property
    def wrong(self) -> bool:
        """Whether the product broke its promise."""
        return self.kind.startswith("WRONG")


def compiled(folder: Path) -> Path | None:
    """The library that makes operations fail; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    target = folder / "shim.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", target, _SHIM, "-ldl"], check=True)
    return target


class Bench:
    """Inputs, a network and the undisturbed outputs, on a disk or in a bucket.

    Args:
        folder: an empty folder for all of it.
        store: URI that outputs go below; None: the folder.
    """

    def __init__(self, folder: Path, store: str | None = None) -> None:
        self.folder = folder
        self.store = store or str(folder / "outputs")
        self.shim = compiled(folder)
        self.net = color_net(folder / "net.onnx")
        self.environ = {
            **{name: value for name, value in os.environ.items() if "VGGBATCH_" not in name},
            "VGGBATCH_CACHE_DIR": str(folder / "cache"),
            "NO_COLOR": "1",
            "COLUMNS": "1000",
        }
        images = folder / "images"
        images.mkdir()
        for shard in range(SHARDS):
            with tarfile.open(images / f"{shard:03d}.tar", "w") as tar:
                for number in range(shard, IMAGES, SHARDS):
                    source = folder / f"{number:05d}.jpg"
                    source.write_bytes(jpeg(cut(number)))
                    tar.add(source, source.name)
                    source.unlink()
        (folder / "large").mkdir()
        for number in range(6):
            noise = np.random.default_rng(number).integers(0, 256, (600, 600, 3), np.uint8)
            Image.fromarray(noise).save(folder / f"large/{number}.png")
        labels = [f"{number:05d}.jpg,{number * 7}\n" for number in range(IMAGES)]
        (folder / "labels.csv").write_text("file,class_index\n" + "".join(labels))
        profiles = {"own": _PREPROCESS, "squash": {**_PREPROCESS, "resize_mode": "squash"}}
        (folder / "job.yaml").write_text(
            yaml.safe_dump({"profiles": profiles, "chunk_size": 3, "rows_per_file": 6})
        )
        # a group for each shard, the first of which is complete while the next is scored
        (folder / "simple.yaml").write_text(yaml.safe_dump({"chunk_size": 3, "rows_per_file": 1}))
        self.forks = Forks(folder, self.environ, self.shim)
        self._count = 0
        self.second_failed = ""
        self.arrives_late = False
        """Whether an operation before which a run is paused is done after all others."""
        self.calm: dict[str, dict[str, bytes]] = {}
        self._before: dict[str, Path | None] = {}

    def close(self) -> None:
        """End what is left of commands."""
        self.forks.close()

    def words(self, command: str, output: str) -> list[str]:
        """The command's words; the same ones are repeated after a fault."""
        folder, net = self.folder, ["-m", str(self.net)]
        images = str(folder / "images")
        simple = [*net, "--config", str(folder / "simple.yaml")]
        labels = ["--labels", str(folder / "labels.csv")]
        return {
            "score": ["score", images, "-o", output, *simple],
            "cold": ["score", images, "-o", output, *simple],
            "evaluate": [
                *("evaluate", images, "-o", output, *net, *labels),
                *("--config", str(folder / "job.yaml")),
            ],
            "other": ["score", images, "-o", output, *simple, "--set", "chunk_size=2"],
            "overwrite": ["score", images, "-o", output, *simple, "--set", "chunk_size=4"],
            "rescore": ["rescore", f"{self.store}/rescored-from", *labels, "-o", output],
            "merge": ["merge", f"{self.store}/part-1", f"{self.store}/part-2", "-o", output],
            "report": ["report", output],
            "append": [
                *("evaluate", str(folder / "grown"), "-o", output, *net, *labels),
                *("--config", str(folder / "job.yaml"), "--append", "--prune"),
            ],
            "retry": [
                *("evaluate", str(folder / "broken"), "-o", output, *net, *labels),
                *("--config", str(folder / "job.yaml"), "--retry", "errors"),
            ],
            "forget": ["forget", output, "000.tar/00000.jpg", "001.tar/00003.jpg"],
            "pack": ["pack", str(folder / "large"), "-o", output, "--shard-mb", "1"],
        }[command]

    def start_from(self, command: str, output: str) -> None:
        """Put there what the command finds: a run's output for `overwrite` and `report`."""
        if command in ("overwrite", "report", "forget"):
            self._copy(f"{self.store}/evaluated", output)
        if command in ("append", "retry"):
            self._copy(f"{self.store}/before-{command}", output)

    def prepare(self, command: str) -> None:
        """Make what the command needs, and its undisturbed output."""
        found = command in ("overwrite", "report", "forget")
        if command in ("append", "retry") and not self.files(f"{self.store}/before-{command}"):
            self._change_input(command)
        if found and not self.files(f"{self.store}/evaluated"):
            self._checked(self.words("evaluate", f"{self.store}/evaluated"))
        if command == "rescore" and not self.files(f"{self.store}/rescored-from"):
            self._checked(self.words("score", f"{self.store}/rescored-from"))
        if command == "merge" and not self.files(f"{self.store}/part-1"):
            for number in (1, 2):
                words = self.words("evaluate", f"{self.store}/part-{number}")
                self._checked([*words, "--part", f"{number}/2"])
        if command == "cold":
            self._checked(self.words("score", f"{self.store}/warm"))
        if "other" not in self.calm:
            self._checked(self.words("other", f"{self.store}/calm-other"))
            self.calm["other"] = self.files(f"{self.store}/calm-other")
        calm = f"{self.store}/calm-{command}"
        self.start_from(command, calm)
        flags = ["--overwrite"] if command == "overwrite" else []
        self._checked([*self.words(command, calm), *flags])
        self.calm[command] = self.files(calm)

    def _change_input(self, command: str) -> None:
        """Score an input that is then another one: it has grown, or a broken image is whole."""
        name = {"append": "grown", "retry": "broken"}[command]
        folder = self.folder / name
        shutil.copytree(self.folder / "images", folder)
        (folder / "gone.jpg").write_bytes(jpeg(cut(50)))
        (folder / "bad.jpg").write_bytes(b"no image")
        words = self.words(command, f"{self.store}/before-{command}")
        kept = words[: next(i for i, word in enumerate(words) if word in ("--append", "--retry"))]
        self._checked(kept)
        if command == "append":
            (folder / "gone.jpg").unlink()
            with tarfile.open(folder / "002.tar", "w") as tar:
                tar.add(folder / "bad.jpg", "worse.jpg")
                tar.add(self.folder / "large/0.png", "large.png")
            for number in range(4):
                (folder / f"new-{number}.jpg").write_bytes(jpeg(cut(60 + number)))
        else:
            (folder / "bad.jpg").write_bytes(jpeg(cut(70)))

    def run(
        self,
        words: Sequence[str],
        environ: dict[str, str] | None = None,
        *,
        killed: threading.Event | None = None,
        stop: threading.Event | None = None,
        paused: Callable[[], None] | None = None,
        module: str = "vggbatch.cli",
    ) -> tuple[int | None, str]:
        """Run a command to its end, or until `killed` is set.

        Args:
            words: the command's.
            environ: further environment.
            killed: kill it once this is set.
            stop: stop it once this is set.
            paused: called once it has been stopped, which then continues it.
            module: whose `main` is run.

        Returns:
            Its status, None where it was killed, and what it printed.
        """
        command = self.forks.start(words, {**self.environ, **(environ or {})}, module)
        if killed is not None:
            threading.Thread(target=_kill_when, args=(killed, command), daemon=True).start()
        if paused is not None:
            threading.Thread(
                target=_when_stopped, args=(command, stop, paused), daemon=True
            ).start()
        if not command.ended.wait(_TIMEOUT_S):
            os.killpg(command.pid, signal.SIGKILL)
            command.ended.wait()
            return 124, "it hung"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        text = command.log.read_text(errors="replace")
        command.log.unlink()
        return (None if command.status == -signal.SIGKILL else command.status), text

    def count(self, command: str) -> list[str]:
        """The operations of an undisturbed run, by name and path."""
        self.environ.pop("FAULT_ONLY", None)
        return self._disturb(command, "", 0)[2]

    def disturb(self, command: str, action: str, at: int, only: str = "") -> Outcome:
        """Disturb the command at its k-th operation, and repeat it.

        Args:
            command: which.
            action: what happens.
            at: from 1.
            only: count operations alone whose path ends so; on a disk.
        """
        self.environ["FAULT_ONLY"] = only
        status, text, operations, output = self._disturb(command, action, at)
        came = len(operations) >= at
        operation = operations[at - 1] if came else ""
        stale = False
        if came and action == "stop-overwrite" and not self._overwrote_last(command, output):
            # a page that was begun after the other run is about that run
            stale = command == "report" and self._has_stale_page(output)
            command = "other"
        late = self.arrives_late and action.startswith("stop")
        kind = self.judge(command, output, status, text, came, late=late)
        if stale:
            kind = "WRONG: a page about another run"
        if self.second_failed:
            kind, self.second_failed = f"WRONG: {self.second_failed}", ""
        if not kind.startswith("WRONG"):
            self._remove(output)
        return Outcome(action, at, operation, status, kind)

    def _has_stale_page(self, output: str) -> bool:
        """Whether report.html is another one than the command writes now."""
        before = dict(self._walk(output)).get("report.html")
        if before is None:
            return False
        self._checked(self.words("report", output))
        return dict(self._walk(output))["report.html"] != before

    def _overwrote_last(self, command: str, output: str) -> bool:
        """Whether the command, paused before it had claimed the output, overwrote the other's."""
        plan = json.loads(dict(self._walk(output)).get(PLAN, b"{}"))
        return command == "overwrite" and plan.get("chunk_size") == 4

    def judge(
        self,
        command: str,
        output: str,
        status: int | None,
        text: str,
        came: bool = True,
        *,
        late: bool = False,
    ) -> str:
        """What a disturbed command led to: repeat it, and compare what is there.

        Args:
            command: whose undisturbed output it has to become.
            output: where.
            status: of the disturbed command, None where it was killed.
            text: what it printed.
            came: whether it was disturbed at all.
            late: whether a request of it may have replaced or deleted one file after all else.

        Returns:
            The kind of an Outcome.
        """
        if "Traceback" in text:
            return f"WRONG: traceback of the disturbed run: {text[-300:]!r}"
        if status == 124:
            return "WRONG: the disturbed run hung"
        if status == 0:
            wrong = self._differs(command, output, more=True)
            if wrong:
                return f"WRONG: status 0, but {wrong}"
        elif status is not None:
            lines = [line for line in text.splitlines() if line.startswith("error")]
            if len(lines) != 1:
                return f"WRONG: the disturbed run has status {status}: {text[-300:]!r}"
        if command in REVISIONS:
            _, said = self.run(["status", output, "--json"])
            # what a late request did is found by every reader, and made again
            if json.loads(said)["state"] not in ("complete", *(["damaged"] if late else ())):
                return f"WRONG: the disturbed output is not complete: {said[-300:]!r}"
        again, said = self.run(self.words(command, output))
        if again == 0:
            wrong = self._differs(command, output)
            if wrong:
                return f"WRONG: the repeated command has status 0, but {wrong}"
            return ("completed" if came else "unharmed") if status == 0 else "continued"
        lines = [line for line in said.splitlines() if line.startswith("error")]
        if "Traceback" in said or len(lines) != 1 or again not in (1, 2):
            return f"WRONG: the repeated command has status {again}: {said[-300:]!r}"
        overwrites = ["overwrite", "score", "evaluate", "cold", "merge"]
        if command not in (*overwrites, *(["other"] if late else ())):
            return f"WRONG: the repeated command has status {again}: {lines[0]}"
        last, said = self.run([*self.words(command, output), "--overwrite"])
        if last != 0:
            return f"WRONG: with --overwrite status {last}: {said[-300:]!r}"
        wrong = self._differs(command, output)
        return f"WRONG: with --overwrite {wrong}" if wrong else f"refused: {lines[0]}"

    def files(self, output: str) -> dict[str, bytes]:
        """The data files of an output, by name; run.json without what differs between two runs."""
        there = dict(self._walk(output))
        run_id = _run_id(there.get(PLAN))
        found = {}
        for name, data in there.items():
            last = name.rsplit("/", 1)[-1]
            if "/indexes/" in name:
                continue
            if last == "_SUCCESS":
                data = b""
            if last == "report.html":
                data = data.replace(output.encode(), b"OUTPUT")
            if last == "run.json":
                data = json.dumps(_stable(json.loads(data)), sort_keys=True).encode()
            if name.startswith("_vggbatch/"):
                # markers hold seconds; that they are there is what counts
                name, data = _without_plan_id(name), b""
            elif run_id is not None:
                # each run has an ID of its own, which the footers say
                data = _FOOTER.sub(rb"\1ID", data.replace(run_id, b"ID"))
            found[name] = data
        return found

    def _differs(self, command: str, output: str, *, more: bool = False) -> str:
        """What is not as in the undisturbed output; with `more`, the next command removes more."""
        found, calm = self.files(output), self.calm[command]
        if command == "other":
            # a run that overwrites deletes what runs write, and no shards; a page is judged before
            others = ["pack.", "shard-", "report.html"]
            if self.arrives_late:
                # a mark of another run.json than the one there says nothing, to any reader
                others.append(RECORD_MARK)
            found = {name: found[name] for name in found if not name.startswith(tuple(others))}
        if more:
            found = {name: found[name] for name in found if name in calm}
        if command == "cold":
            # who has recorded the input is marked with a key of the cache, where one can be kept
            for files in (found, calm := dict(calm)):
                files.pop("_vggbatch/ID/shards.mark", None)
        differing = [name for name in {*found, *calm} if found.get(name) != calm.get(name)]
        return f"{', '.join(sorted(differing)[:4])} differ" if differing else ""

    def _disturb(
        self, command: str, action: str, at: int
    ) -> tuple[int | None, str, list[str], str]:
        self._count += 1
        output = f"{self.store}/{command}-{self._count:05d}"
        self.start_from(command, output)
        words = self.words(command, output)
        if command == "overwrite":
            words = [*words, "--overwrite"]
        counter, log = self.folder / "counter", self.folder / "operations"
        counter.write_bytes(struct.pack("q", 0))
        log.write_bytes(b"")
        below = output
        if command == "cold":
            below = str(self.folder / "cache")
            shutil.rmtree(below)
        environ = {
            "FAULT_BELOW": below,
            "FAULT_COUNT": str(counter),
            "FAULT_LOG": str(log),
            "FAULT_AT": str(at),
            "FAULT_ACTION": action.removesuffix("-overwrite"),
        }
        status, text = self.run(words, environ, paused=self._second_driver(command, action, output))
        operations = [line.split(" ", 2)[2] for line in log.read_text().splitlines()]
        return status, text, operations, output

    def _second_driver(self, command: str, action: str, output: str) -> Callable[[], None] | None:
        """What happens while the first driver is paused."""
        if not action.startswith("stop"):
            return None
        words = self.words(command, output)
        if action == "stop-overwrite":
            words = [*self.words("other", output), "--overwrite"]
        elif command == "overwrite":
            words = [*words, "--overwrite"]

        def run() -> None:
            status, text = self.run(words, module="tests.faults.elsewhere")
            if status != 0:
                self.second_failed = f"the second driver has status {status}: {text[-300:]!r}"

        return run

    def _checked(self, words: Sequence[str], module: str = "vggbatch.cli") -> None:
        status, text = self.run(words, module=module)
        assert status == 0, f"{words}: {text}"

    def _copy(self, source: str, target: str) -> None:
        shutil.copytree(source, target)

    def _remove(self, output: str) -> None:
        shutil.rmtree(output, ignore_errors=True)

    def _walk(self, output: str) -> Iterator[tuple[str, bytes]]:
        root = Path(output)
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield path.relative_to(root).as_posix(), path.read_bytes()


def _when_stopped(command: Command, stop: threading.Event | None, then: Callable[[], None]) -> None:
    """Once a command is stopped, or was to be stopped, call a function and continue the command."""
    while not command.ended.wait(0.01):
        if stop is not None and stop.is_set():
            os.killpg(command.pid, signal.SIGSTOP)
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(command.pid).status() == psutil.STATUS_STOPPED:
                then()
                os.killpg(command.pid, signal.SIGCONT)
                return


def _kill_when(killed: threading.Event, command: Command) -> None:
    while not command.ended.is_set():
        if killed.wait(0.02):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGKILL)
            return


def _stable(record: dict[str, object]) -> dict[str, object]:
    """run.json's facts that two runs of the same command share."""
    files = record.get("files")
    if isinstance(files, list):
        # the digests of the footers are of another run's ID
        files = [{k: v for k, v in file.items() if k != "footer"} for file in files]
    kept = {key: record[key] for key in ("counts", "model", "labels") if key in record}
    return {**kept, "files": files}


def _run_id(plan: bytes | None) -> bytes | None:
    """The ID of a run, from its plan.json."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(plan or b"")["id"]).encode()
    return None


def _without_plan_id(name: str) -> str:
    parts = name.split("/")
    return "/".join([parts[0], "ID", *parts[2:]]) if len(parts) > 2 else name


def _append(log: Path, store: str, command: str, count: int, outcome: Outcome) -> None:
    line = {"store": store, "command": command, "count": count, **dataclasses.asdict(outcome)}
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    """Run the faults that were asked for; print a line each that is wrong, and a table."""
    parser = argparse.ArgumentParser(description="Let the k-th operation of a run fail.")
    parser.add_argument("--command", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--action", nargs="+", default=None)
    parser.add_argument("--store", choices=("disk", "s3"), default="disk")
    parser.add_argument("--every", type=int, default=1, help="only each N-th operation")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--log", type=Path, help="gets a line of JSON for each fault")
    args = parser.parse_args()
    from tests.faults.s3 import s3_bench

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if args.store == "disk":
            bench = Bench(folder)
            stack.callback(bench.close)
        else:
            bench = stack.enter_context(s3_bench(folder))
        for command in args.command:
            bench.prepare(command)
            operations = bench.count(command)
            names = Counter(line.split(" ")[0] for line in operations)
            print(f"{command} on {args.store}: {len(operations)} operations {dict(names)}")
            for action in args.action or (ON_DISK if args.store == "disk" else ON_S3):
                started = time.monotonic()
                kinds: Counter[str] = Counter()
                for at in range(args.first, len(operations) + 1, args.every):
                    outcome = bench.disturb(command, action, at)
                    kinds[outcome.kind.split(":")[0]] += 1
                    if args.log is not None:
                        _append(args.log, args.store, command, len(operations), outcome)
                    if outcome.wrong:
                        print(
                            f"  {command} {action} at {at} ({outcome.operation}), status "
                            f"{outcome.status}: {outcome.kind}",
                            flush=True,
                        )
                print(
                    f"  {command:10}{action:12}{dict(kinds)} {time.monotonic() - started:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
