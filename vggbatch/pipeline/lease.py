"""One driver at a time on an OUTPUT: a lease that beats while its driver lives.

The lease saves work, it does not protect rows: two drivers on one OUTPUT would write the same files
twice (see state.py). That is why it needs no atomic operation of the store: whoever finds no lease,
or one that has fallen silent, writes its own, waits a moment, and reads whose it is now.

A holder on this machine is dead when its process is. Any other is dead when its lease stays silent
for PATIENCE seconds while we watch; clocks of two machines are compared only to cut the watching
short. A beat comes from a thread of the driver, so it ends with the process, and carries what the
driver's own loop has reached, so that a driver that hangs does not look alive to `vggbatch status`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from pydantic import TypeAdapter

from vggbatch.errors import JobFailed, UsageError
from vggbatch.pipeline.state import STATE
from vggbatch.pipeline.tally import Snapshot
from vggbatch.storage import Folder, unwritable

_log = logging.getLogger(__name__)

NAME = f"{STATE}/lease.json"
INTERVAL = 5.0
"""Seconds between beats."""
PATIENCE = 30.0
"""Seconds of silence after which a holder on another machine counts as gone."""
_OLD = 600.0
"""A lease that its own clock says is older is watched for two beats only."""
_SETTLE = 0.3
"""Seconds between writing a lease and reading whose it is: more than a write takes."""


@dataclass(frozen=True)
class Lease:
    """What the file says: who holds it, and how far the run was at the last beat."""

    token: str
    host: str
    machine: str
    """Boot and process namespace, within which `pid` and `started_ticks` mean one process."""
    pid: int
    started_ticks: int
    """Start of the process, in clock ticks since boot: a pid alone comes again."""
    since: str
    """When the run started, ISO 8601, UTC."""
    beat: int = 0
    beat_at: float = 0.0
    """Unix time of the last beat, by the holder's clock."""
    moved_at: float = 0.0
    """Unix time at which a chunk was last committed, by the holder's clock."""
    snapshot: Snapshot | None = None
    """The run's last Snapshot."""

    @property
    def here(self) -> bool:
        """Whether the holder ran on this machine, where its process can be looked up."""
        return self.machine == _machine()

    def process_lives(self) -> bool:
        """Whether the holder's process still runs; only for a holder that is `here`."""
        return _started_ticks(self.pid) == self.started_ticks

    def silence(self) -> float:
        """Seconds since the last beat, as far as the two clocks agree."""
        return max(0.0, time.time() - self.beat_at)

    def holder(self) -> str:
        """For a message: host, process and start."""
        return f"a run on host {self.host} (pid {self.pid}), started {self.since}"


def read_lease(folder: Folder) -> Lease | None:
    """The lease on an OUTPUT, None if there is none that this version can read."""
    try:
        return TypeAdapter(Lease).validate_json(folder.read_bytes(NAME), strict=True)
    except (FileNotFoundError, ValueError):
        return None


@dataclass
class Held:
    """The lease of this process on an OUTPUT, from `with` to its end.

    Raises:
        UsageError: on entering, another driver is at work, or the output cannot be written.
    """

    folder: Folder
    interval: float = INTERVAL
    patience: float = PATIENCE
    _lease: Lease = field(init=False)
    _done: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread | None = field(init=False, default=None)
    _lost_to: Lease | None = field(init=False, default=None)
    _snapshot: Snapshot | None = field(init=False, default=None)
    _moved_at: float = field(init=False, default_factory=time.time)

    def __enter__(self) -> Held:
        try:
            self._take()
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise unwritable(self.folder.uri, error) from None
        time.sleep(_SETTLE)
        winner = read_lease(self.folder)
        if winner is not None and winner.token != self._lease.token:
            raise _refusal(self.folder, winner)
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(self.interval)
        try:
            current = read_lease(self.folder)
            if current is not None and current.token == self._lease.token:
                self.folder.delete(NAME)
        except OSError:
            pass  # the store is down; the lease falls silent instead

    def report(self, snapshot: Snapshot) -> None:
        """Tell how far the run is; goes out with the next beat.

        Raises:
            JobFailed: another driver has taken the lease over.
        """
        if self._lost_to is not None:
            raise JobFailed(
                f"{self.folder.uri}: {self._lost_to.holder()} has taken over from this run, which "
                "had been silent; what is committed stays"
            )
        if self._snapshot is None or self._snapshot.rows != snapshot.rows:
            self._moved_at = time.time()
        self._snapshot = snapshot

    def _take(self) -> None:
        other = read_lease(self.folder)
        if other is not None:
            self._refuse_if_alive(other)
        self._lease = Lease(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            started_ticks=_started_ticks(os.getpid()),
            since=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            beat_at=time.time(),
            moved_at=self._moved_at,
        )
        self._write()

    def _refuse_if_alive(self, other: Lease) -> None:
        if other.here:
            if other.process_lives():
                raise _refusal(self.folder, other)
            return
        patience = 2 * self.interval if other.silence() > _OLD else self.patience
        _log.warning(
            "%s was last written by %s; waiting %.0f s for a sign of life from it",
            self.folder.uri,
            other.holder(),
            patience,
        )
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            time.sleep(min(self.interval / 2, 1.0))
            now = read_lease(self.folder)
            if now is None:
                return
            if (now.token, now.beat) != (other.token, other.beat):
                raise _refusal(self.folder, now)

    def _beat(self) -> None:
        while not self._done.wait(self.interval):
            try:
                current = read_lease(self.folder)
                if current is not None and current.token != self._lease.token:
                    self._lost_to = current
                    return
                self._lease = replace(
                    self._lease,
                    beat=self._lease.beat + 1,
                    beat_at=time.time(),
                    moved_at=self._moved_at,
                    snapshot=self._snapshot,
                )
                self._write()
            except OSError:
                continue  # the store is down: the run itself finds out what that means

    def _write(self) -> None:
        self.folder.write_json(NAME, asdict(self._lease))


def _refusal(folder: Folder, holder: Lease) -> UsageError:
    return UsageError(
        f"{folder.uri} is being written by {holder.holder()}; wait for it, stop it, or name "
        "another output"
    )


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/{uuid.getnode()}"


def _started_ticks(pid: int) -> int:
    """When a process started; -1 if it is gone or a zombie."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if after_name[0] == "Z" else int(after_name[19])
