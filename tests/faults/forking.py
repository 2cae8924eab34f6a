"""Commands that start at once: forked off a process that has imported all they need.

    python -m tests.faults.forking

reads requests and writes answers, lines of JSON. A command costs two to four seconds of imports, in
the driver and in the process that scores, which thousands of them cannot have. Each one still is a
process in a group of its own, with the real command line, and so is what it starts. It does what a
command does that is started from a shell, but for what it finds in memory: modules, the parser of
the command line, versions of packages, the catalog, and botocore's description of S3.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.metadata
import json
import logging
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from PIL import Image

from vggbatch.models.catalog import catalog, synset

_ROOT = Path(__file__).parents[2]
_POLL_S = 0.01
_AT_ONCE = ("vggbatch.cli", "vggbatch.executors.local.worker", "tests.faults.elsewhere")


class Command:
    """A command that was started."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.pid = 0
        self.status: int | None = None
        """Negative: the signal that killed it, as of `subprocess.Popen`."""
        self.started, self.ended = threading.Event(), threading.Event()


class Forks:
    """The process that commands are forked off.

    Args:
        folder: gets what commands print.
        environ: of the commands.
        shim: a library that is loaded before all others.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], shim: Path | None) -> None:
        self._folder = folder
        preload = {} if shim is None else {"LD_PRELOAD": str(shim)}
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env={**environ, **preload},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        self._commands: dict[int, Command] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(
        self, words: Sequence[str], environ: Mapping[str, str], module: str = "vggbatch.cli"
    ) -> Command:
        """Start a command: `main` of a module, with words."""
        with self._lock:
            number = len(self._commands)
            command = self._commands[number] = Command(self._folder / f"printed-{number}")
            request = {"number": number, "words": list(words), "environ": dict(environ)}
            request |= {"module": module, "log": str(command.log)}
            assert self._server.stdin is not None
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
        assert command.started.wait(60), "no commands are started any more"
        return command

    def close(self) -> None:
        """End the process, and what still runs."""
        for command in self._commands.values():
            if command.started.is_set() and not command.ended.is_set():
                os.killpg(command.pid, signal.SIGKILL)
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            answer = json.loads(line)
            command = self._commands[answer["number"]]
            if "pid" in answer:
                command.pid = answer["pid"]
                command.started.set()
            else:
                command.status = answer["status"]
                command.ended.set()


def serve() -> None:
    """Fork as requests come, and report what ends."""
    for name in _AT_ONCE:
        importlib.import_module(name)
    _read_once()
    gc.freeze()
    running: dict[int, tuple[int, str]] = {}
    waiting = b""
    while True:
        if select.select([0], [], [], _POLL_S if running else None)[0]:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                request = json.loads(line)
                modules = f"{request['log']}.modules"
                pid = os.fork()
                if pid == 0:
                    _run(request, modules)
                running[pid] = request["number"], modules
                _answer({"number": request["number"], "pid": pid})
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                number, modules = running.pop(pid)
                _learn(modules)
                _answer({"number": number, "status": os.waitstatus_to_exitcode(status)})


def _read_once() -> None:
    """Read what is the same for all commands, which takes half of the time of one."""
    catalog(), synset(), Image.preinit()
    importlib.metadata.version = functools.cache(importlib.metadata.version)
    app = importlib.import_module("vggbatch.cli").app
    parser = typer.main.get_command(app)
    typer.main.get_command = {app: parser}.__getitem__
    if "AWS_ENDPOINT_URL" in os.environ:
        _read_once_of_botocore()


def _read_once_of_botocore() -> None:
    """Read how requests of S3 look, a megabyte of JSON; nothing is requested."""
    import botocore.loaders
    import botocore.session

    class Loader(botocore.loaders.JSONFileLoader):
        @staticmethod
        @functools.cache
        def load_file(path: str) -> Any:
            return botocore.loaders.JSONFileLoader().load_file(path)

    botocore.loaders.Loader.FILE_LOADER_CLASS = Loader
    botocore.session.Session().create_client("s3")


def _answer(answer: dict[str, int]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _run(request: dict[str, Any], modules: str) -> None:
    """Be the command."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(request["environ"])
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).fault_begin()
    subprocess.Popen = _Forked  # type: ignore[misc]
    before = set(sys.modules)
    sys.argv = ["vggbatch", *request["words"]]
    status = _ended(importlib.import_module(request["module"]).main)
    Path(modules).write_text(json.dumps(sorted(set(sys.modules) - before)))
    os._exit(status)


def _ended(main: Any) -> int:
    """The status of a program, once all is done that an interpreter does at its end."""
    status = 0
    try:
        main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _learn(modules: str) -> None:
    """Import what a command had to import, for the next ones."""
    try:
        names = json.loads(Path(modules).read_text())
    except (FileNotFoundError, ValueError):
        return
    os.unlink(modules)
    for name in names:
        if name.split(".")[0] != "ray":
            with contextlib.suppress(Exception):
                importlib.import_module(name)


class _Forked(subprocess.Popen):  # type: ignore[type-arg]
    """A module of the package that is run as a program is forked too."""

    def _execute_child(self, args: Any, *others: Any) -> None:
        package = list(args[1:3]) == ["-P", "-m"] and args[3]
        # the thread that reports a silent command waits, and holds nothing a child would miss
        others_run = {thread.name for thread in threading.enumerate()} - {"MainThread", "silence"}
        if not package or not package.startswith("vggbatch.") or others_run:
            super()._execute_child(args, *others)  # type: ignore[misc]
            return
        kept, environ = others[3], others[5]
        source, to_child, from_child, sink, from_error, error = others[9:15]
        self.pid = os.fork()
        if self.pid == 0:
            for descriptor, number in ((source, 0), (sink, 1), (error, 2)):
                if descriptor != -1:
                    os.dup2(descriptor, number)
            _close_as_exec_does(kept)
            if environ is not None:
                os.environ.clear()
                os.environ.update(environ)
            # of its own again: the command line has moved its driver's
            sys.stderr = os.fdopen(2, "w", closefd=False)
            logging.root.handlers.clear()
            sys.argv = list(args[3:])
            os._exit(_ended(lambda: runpy.run_module(package, run_name="__main__")))
        self._child_created = True
        for descriptor, other in ((source, to_child), (sink, from_child), (error, from_error)):
            if descriptor != -1 and other != -1:
                os.close(descriptor)
        if hasattr(self, "_devnull"):
            os.close(self._devnull)


def _close_as_exec_does(kept: Sequence[int]) -> None:
    """Close what a new program would not get, but for the log of operations."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with contextlib.suppress(OSError):
            is_log = os.readlink(f"/proc/self/fd/{name}") == os.environ.get("FAULT_LOG")
            if not (is_log or descriptor in kept or os.get_inheritable(descriptor)):
                os.close(descriptor)


if __name__ == "__main__":
    serve()
