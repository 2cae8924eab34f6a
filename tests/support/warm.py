"""Worker processes that begin as forks of one that has imported what they need.

A run starts a worker and the preparation of a network starts a build, each with a second of
imports, which is most of what a small test costs. Here a server imports it all once, and a process
that it forks is what the command would have been: the same program with its arguments, environment,
folder and files, and a child of the process of tests. A process that would import from elsewhere
than the server starts as it always does, as do all of tests that ask for `cold_workers` and those
of commands that tests run.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from vggbatch import process

PROGRAMS = ("vggbatch.executors.local.worker", "vggbatch.models.preparation.build")
_LENGTH = 8
_PR_SET_CHILD_SUBREAPER = 36
_COLD = subprocess.Popen


class _Server:
    """The process that has imported everything, as its parent has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = _COLD(
                process.python(__name__, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=process.environment() | {"PYTHONPATH": _Warm.path},
            )

    def fork(self, request: dict[str, Any], files: list[int]) -> int:
        """The process id of a new child of this process."""
        text = json.dumps({**request, "parent": os.getpid()}).encode()
        prctl = ctypes.CDLL(None).prctl
        with self._lock:
            # the new process loses the parent that forked it, and becomes a child of this one
            prctl(_PR_SET_CHILD_SUBREAPER, 1)
            try:
                head = len(text).to_bytes(_LENGTH, "little")
                socket.send_fds(self._socket, [head], files)
                self._socket.sendall(text)
                return int.from_bytes(_receive(self._socket, _LENGTH), "little")
            finally:
                prctl(_PR_SET_CHILD_SUBREAPER, 0)

    def end(self) -> None:
        """End it; its children stay."""
        self._socket.close()
        self._process.wait(timeout=30)


class _Warm:
    """Whether there is a server, and whether it is to be used."""

    server: _Server | None = None
    starting = threading.Lock()
    cold = False
    path = ""
    """Where the server imports from, as the variable."""


class _Popen(subprocess.Popen[Any]):
    """A process that a server forks, where it knows the program."""

    def _execute_child(self, *arguments: Any) -> None:
        given = inspect.signature(_COLD._execute_child).bind(self, *arguments).arguments  # type: ignore[attr-defined]
        if not _known(given):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        with _Warm.starting:
            _Warm.server = _Warm.server or _Server()
        ours = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        files = {number: fd if fd != -1 else number for number, fd in enumerate(ours)}
        files |= {fd: fd for fd in given["pass_fds"]}
        request = {
            "program": given["args"][3],
            "arguments": list(given["args"][4:]),
            "environ": given["env"],
            "folder": os.getcwd(),
            "umask": _umask(),
            "cores": list(os.sched_getaffinity(0)),
            "files": list(files),
        }
        self.pid = _Warm.server.fork(request, list(files.values()))
        self._child_created = True
        self._close_pipe_fds(  # type: ignore[attr-defined]
            *(given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite")),
            *(given[name] for name in ("errread", "errwrite")),
        )


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def _known(given: dict[str, Any]) -> bool:
    """Whether a server's child is what this call would start."""
    arguments, environ = given["args"], given["env"]
    return (
        not _Warm.cold
        and isinstance(arguments, list)
        and arguments[:3] == [sys.executable, "-P", "-m"]
        and arguments[3] in PROGRAMS
        and environ is not None
        and environ["PYTHONPATH"] == _Warm.path
        and given["cwd"] is None
        and given["preexec_fn"] is None
    )


@pytest.fixture(scope="session", autouse=True)
def _warm_workers() -> Iterator[None]:
    # a process that is measured has to begin with what measures it
    if sys.platform != "linux" or any(name.startswith("COVERAGE_") for name in os.environ):
        yield
        return
    _Warm.path = process.environment()["PYTHONPATH"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", _Popen)
        yield
    if _Warm.server is not None:
        _Warm.server.end()


@pytest.fixture
def cold_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of this test begins from nothing."""
    monkeypatch.setattr(_Warm, "cold", True)


def _receive(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _import() -> None:
    from vggbatch.executors.pandas_later import postpone_pandas

    postpone_pandas()
    for name in PROGRAMS:
        importlib.import_module(name)
        del sys.modules[name]  # it is run as a program


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a child for each request: in a child, its request; None at the end."""
    while True:
        head, files, _, _ = socket.recv_fds(connection, _LENGTH, 64)
        if not head:
            return None
        request: dict[str, Any] = json.loads(_receive(connection, int.from_bytes(head, "little")))
        known, knows = os.pipe()
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child:
                os.write(knows, child.to_bytes(_LENGTH, "little"))
                os._exit(0)
            os.close(known)
            os.close(knows)
            connection.close()
            while os.getppid() != request["parent"]:
                os.sched_yield()
            _become(request, files)
            return request
        os.waitpid(between, 0)  # from here on the child has its new parent
        connection.sendall(os.read(known, _LENGTH))
        for fd in (known, knows, *files):
            os.close(fd)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Take over the files, the environment and the folder that a request names."""
    import fcntl

    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 500) for fd in files]
    for fd in files:
        os.close(fd)
    for target, fd in zip(request["files"], high, strict=True):
        os.dup2(fd, target)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.sched_setaffinity(0, request["cores"])
    sys.argv = [request["program"], *request["arguments"]]
    sys.orig_argv = [*process.python(request["program"]), *request["arguments"]]


if __name__ == "__main__":
    _import()
    wanted = _serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        runpy.run_module(wanted["program"], run_name="__main__", alter_sys=True)
