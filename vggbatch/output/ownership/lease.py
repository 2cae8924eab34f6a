"""One driver at a time on an output: a lease that is renewed while its driver lives.

The lease covers all that a driver does to an output, from its opening to _SUCCESS. It is held by a
claim (claim.py), and what its holder writes, deletes and declares is fenced by that claim
(fence.py): a driver that was paused for however long, and whose lease another one has taken over,
changes nothing any more.

What is renewed is lease.json, which says how far the run is. A holder on this machine is dead when
its process is. Any other is dead when lease.json has not changed for `timeout` seconds while we
watched: the clocks of two machines are never compared. A thread of the driver renews it, so that it
ends with the process; it carries what the driver's own loop has reached, so that a driver that
hangs does not look alive to `vggbatch status`.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from vggbatch.bounds import Count, Seconds
from vggbatch.errors import UsageError
from vggbatch.output.names import STATE
from vggbatch.output.ownership import claim
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.ownership.fence import Fence, LeaseLost
from vggbatch.output.ownership.removal import persistently
from vggbatch.output.progress import Snapshot
from vggbatch.storage.filesystem import Folder, unwritable

_log = logging.getLogger(__name__)

NAME = f"{STATE}/lease.json"
INTERVAL = 5.0
"""Seconds between renewals."""
RENEWAL_TIMEOUT_S = 30.0
"""Seconds without a renewal, watched, after which a holder on another machine counts as dead."""
_ATTEMPTS = 8
"""How often a claim is tried that others take at the same moment."""


@dataclass(frozen=True)
class Lease:
    """What the file says: who holds it, and how far the run was when it was renewed."""

    token: str
    host: str
    machine: str
    """Boot and process namespace, within which `pid` and `started_ticks` mean one process."""
    pid: int
    started_ticks: int
    """Start of the process, in clock ticks since boot: a pid alone comes again."""
    since: str
    """When the run started, ISO 8601, UTC, by the holder's clock."""
    beat: Count = 0
    """Number of the renewal."""
    beat_at: Seconds = 0.0
    """Seconds since the holder's machine was started, at the renewal."""
    still_for: Seconds = 0.0
    """Seconds, at the renewal, since a chunk was last committed."""
    snapshot: Snapshot | None = None
    """The run's last Snapshot."""

    @property
    def here(self) -> bool:
        """Whether the holder ran on this machine, where its process can be looked up."""
        return self.machine == _machine()

    def process_lives(self) -> bool:
        """Whether the holder's process still runs; only for a holder that is `here`."""
        return _started_ticks(self.pid) == self.started_ticks

    def silence(self) -> float | None:
        """Seconds since the renewal; None where only another machine's clock could say."""
        return max(0.0, uptime() - self.beat_at) if self.here else None

    def owner(self) -> str:
        """For a message: host, process and start."""
        return f"a run on host {self.host} (pid {self.pid}), started {self.since}"


def uptime() -> float:
    """Seconds since this machine was started, those that it slept included."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def read_lease(folder: Folder) -> Lease | None:
    """The lease on an output, None if there is none that this version can read."""
    try:
        return TypeAdapter(Lease).validate_json(folder.read_bytes(NAME), strict=True)
    except (FileNotFoundError, ValueError):
        return None


def read_owner(folder: Folder) -> Lease | None:
    """Who has claimed an output, as of the claim's beginning; None if there is no claim."""
    there = claim.claims(folder)
    return _holder(there[-1]) if there else None


def is_renewed(folder: Folder, seconds: float, interval: float = INTERVAL) -> bool:
    """Watch lease.json for so long at most; whether it changed, which a dead run's does not."""
    before = _content(folder)
    deadline = uptime() + seconds
    while uptime() < deadline:
        time.sleep(min(interval / 2, 1.0))
        now = _content(folder)
        if now is None and not claim.claims(folder):
            return False  # given back
        if now is not None and now != before:
            return True
    return False


def is_abandoned(folder: Folder) -> bool:
    """Whether all that have claimed an output ran on this machine and are dead."""
    holders = [_holder(found) for found in claim.claims(folder)]
    return all(one is not None and one.here and not one.process_lives() for one in holders)


@dataclass
class OutputLease:
    """The lease of this process on an output, from `with` to its end.

    Raises:
        UsageError: on entering, another driver is at work, or the output cannot be written.
        LeaseLost: at the end, the output is another run's by now.
    """

    folder: Folder
    interval: float = INTERVAL
    timeout: float = RENEWAL_TIMEOUT_S
    fence: Fence = field(init=False)
    """The right to write, for all that is done under this lease."""
    _lease: Lease = field(init=False)
    _done: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread | None = field(init=False, default=None)
    _renewed: float = field(init=False, default=0.0)
    _lost: LeaseLost | None = field(init=False, default=None)
    _snapshot: Snapshot | None = field(init=False, default=None)
    _moved: float = field(init=False, default_factory=uptime)

    def __enter__(self) -> OutputLease:
        check_confined(self.folder)
        try:
            self.fence = self._take()
            with claim.given_back_on_error(self.fence):
                claim.sweep(self.fence)
                written = self._renew()
                exclusive = claim.creates_exclusively(self.fence, NAME, written)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise unwritable(self.folder.uri, error) from None
        if not exclusive:
            _log.warning(
                "%s: its store or the client for it does not create a file only where there is "
                "none: do not begin two runs on this output at the same moment",
                self.folder.uri,
            )
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        # each by itself: a lease.json that stays does no harm, a claim keeps other machines waiting
        for end in (self.end_renewals, lambda: claim.give_back(self.fence)):
            try:
                end()
            except LeaseLost:
                pass
            except OSError as error:
                _log.warning(
                    "%s: what marks it as being written could not be removed (%s); the next "
                    "command on it does that",
                    self.folder.uri,
                    error,
                )

    def end_renewals(self) -> None:
        """Remove lease.json, so that _SUCCESS is the last to appear; the output stays claimed.

        Raises:
            LeaseLost: another driver has taken the output over.
        """
        self._done.set()
        if self._thread is not None:
            self._thread.join(self.interval)
        persistently(lambda: self.fence.delete(NAME))

    def report(self, snapshot: Snapshot) -> None:
        """Take in how far the run is, for the next renewal.

        Raises:
            LeaseLost: another driver has taken the output over.
        """
        if self._lost is not None:
            raise self._lost
        if uptime() - self._renewed > self.timeout:
            # this machine slept, or its store did not answer: another run may have begun
            self.fence.check()
            self._renewed = uptime()
        if self._snapshot is None or self._snapshot.rows != snapshot.rows:
            self._moved = uptime()
        self._snapshot = snapshot

    def _take(self) -> Fence:
        """Claim the output; dead runs' claims are taken away."""
        dead: set[str] = set()
        for _ in range(_ATTEMPTS):
            there = claim.claims(self.folder)
            for found in there:
                if found.token not in dead:
                    self._refuse_if_alive(found)
                    dead.add(found.token)
            self._lease = _new_lease()
            number = max((found.number for found in there), default=0) + 1
            fence = claim.create(self.folder, number, asdict(self._lease))
            if fence is None:
                continue  # another run was faster: look who it is
            with claim.given_back_on_error(fence):
                others = [c for c in claim.claims(self.folder) if c.token != fence.token]
                if all(found.token in dead for found in others):
                    for found in others:
                        claim.revoke(self.folder, found)
                    return fence
            claim.give_back(fence)
            time.sleep(random.uniform(0.1, 0.5))
        raise UsageError(
            f"{self.folder.uri} is being opened by other runs at the same time: repeat the command"
        )

    def _refuse_if_alive(self, found: claim.Claim) -> None:
        """Raise UsageError if the holder of a claim is at work."""
        holder = _holder(found)
        if holder is not None and holder.here:
            if holder.process_lives():
                raise self._refusal(holder)
            return
        _log.warning(
            "%s was last written by %s; waiting %.0f s for a sign of life from it",
            self.folder.uri,
            holder.owner() if holder else "a run that cannot be named",
            self.timeout,
        )
        if is_renewed(self.folder, self.timeout, self.interval):
            raise self._refusal(read_lease(self.folder) or holder)

    def _refusal(self, holder: Lease | None) -> UsageError:
        return UsageError(
            f"{self.folder.uri} is being written by {holder.owner() if holder else 'another run'}; "
            "wait for it, stop it, or name another output"
        )

    def _keep(self) -> None:
        while not self._done.wait(self.interval):
            try:
                self._renew()
            except LeaseLost as error:
                self._lost = error
                return
            except OSError:
                continue  # the store is down: the run itself finds out what that means

    def _renew(self) -> bytes:
        now = uptime()
        self._lease = replace(
            self._lease,
            beat=self._lease.beat + 1,
            beat_at=now,
            still_for=now - self._moved,
            snapshot=self._snapshot,
        )
        written = self.fence.write_json(NAME, asdict(self._lease))
        self._renewed = now
        return written


def _new_lease() -> Lease:
    return Lease(
        token=uuid.uuid4().hex,
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started_ticks=_started_ticks(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _holder(found: claim.Claim) -> Lease | None:
    """Who made a claim, None if this version cannot read it."""
    try:
        return TypeAdapter(Lease).validate_python(found.document)
    except ValueError:
        return None


def _content(folder: Folder) -> bytes | None:
    try:
        return folder.read_bytes(NAME)
    except FileNotFoundError:
        return None


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
