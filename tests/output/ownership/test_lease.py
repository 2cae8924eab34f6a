import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace

import pytest

from vggbatch.errors import UsageError
from vggbatch.output.ownership import claim, lease
from vggbatch.output.ownership.fence import LeaseLost
from vggbatch.output.ownership.lease import OutputLease, read_lease
from vggbatch.output.progress import Snapshot
from vggbatch.storage.filesystem import Folder

HOLD = """
import sys, time
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.storage.filesystem import Folder
with OutputLease(Folder(sys.argv[1]), interval=0.1):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path))


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.uri], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def elsewhere(folder):
    """Make the claim look like that of another machine."""
    [found] = claim.claims(folder)
    folder.write_json(f"{found.name}/claim.json", {**found.document, "machine": "another"})


def test_a_second_driver_is_refused_until_the_first_is_dead(folder, tmp_path):
    first = holder(folder)
    try:
        with pytest.raises(UsageError, match=rf"pid {first.pid}\)"), OutputLease(folder):
            pass
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(UsageError, match=rf"pid {first.pid}\)"), OutputLease(folder):
            pass
    finally:
        first.kill()
        first.wait()
    with OutputLease(folder):
        assert read_lease(folder).pid == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_driver_elsewhere_counts_as_dead_after_its_silence(folder):
    with OutputLease(folder):
        elsewhere(folder)
        started = time.monotonic()
        with OutputLease(folder, interval=0.2, timeout=1):
            assert time.monotonic() - started >= 1


def test_a_driver_elsewhere_that_renews_is_alive(folder):
    with OutputLease(folder, interval=0.2):
        elsewhere(folder)
        with (
            pytest.raises(UsageError, match="is being written by"),
            OutputLease(folder, timeout=5),
        ):
            pass


def test_a_clock_that_is_off_changes_nothing(folder, monkeypatch):
    with OutputLease(folder, interval=0.2):
        elsewhere(folder)
        for hours in (-1, 1):
            now = time.time() + hours * 3600
            monkeypatch.setattr(time, "time", lambda now=now: now)
            assert lease.is_renewed(folder, 5)
    assert not lease.is_renewed(folder, 0.5)


def test_a_holder_that_was_taken_over_changes_nothing_more(folder, tmp_path):
    with OutputLease(folder, interval=60) as first:
        first.fence.write_bytes("mine", b"1")
        elsewhere(folder)
        with OutputLease(folder, interval=0.2, timeout=0.5) as second:
            for write in (
                lambda: first.fence.write_bytes("new", b""),
                lambda: first.fence.delete("mine"),
                lambda: first.fence.delete("none"),
                lambda: first.fence.delete_tree("_vggbatch"),
                lambda: first.fence.below("profiles/p").write_json("run.json", {}),
                first.fence.check,
                first._renew,
            ):
                with pytest.raises(LeaseLost, match="taken over by another run"):
                    write()
            assert sorted(path.name for path in tmp_path.iterdir()) == ["_vggbatch", "mine"]
            second.fence.write_bytes("mine", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_was_begun_before_the_lease_was_lost_does_not_appear(folder, tmp_path):
    """The moment between the last look at the lease and the write."""
    with OutputLease(folder, interval=60) as first:
        elsewhere(folder)

        def take_over():
            with OutputLease(folder, interval=0.2, timeout=0.3):
                (tmp_path / "b").write_text("another run's")

        def write():
            with first.fence.open_atomic("b") as file:
                file.write(b"late")
                take_over()

        with pytest.raises(LeaseLost):
            write()
    assert (tmp_path / "b").read_text() == "another run's"


def test_a_holder_hears_that_it_was_taken_over(folder):
    snapshot = Snapshot(1, 2, 0, 1.0)
    with OutputLease(folder, interval=0.1) as held:
        held.report(snapshot)
        [found] = claim.claims(folder)
        claim.revoke(folder, found)
        time.sleep(0.5)
        with pytest.raises(LeaseLost):
            held.report(snapshot)


def test_a_machine_that_slept_looks_at_its_lease_on_waking(folder, monkeypatch):
    with OutputLease(folder, interval=60) as held:
        held.report(Snapshot(1, 2, 0, 1.0))
        [found] = claim.claims(folder)
        claim.revoke(folder, found)
        held.report(Snapshot(1, 2, 0, 1.0))  # not renewed for a moment only
        now = lease.uptime() + 60
        monkeypatch.setattr(lease, "uptime", lambda: now)
        with pytest.raises(LeaseLost):
            held.report(Snapshot(1, 2, 0, 1.0))


def test_a_state_folder_that_was_deleted_ends_the_lease(folder):
    with OutputLease(folder) as held:
        shutil.rmtree(folder.path("_vggbatch"))
        with pytest.raises(LeaseLost, match="_vggbatch folder was deleted"):
            held.fence.write_bytes("x", b"")


def test_of_many_at_once_one_gets_the_output(folder):
    start, got, refused = threading.Barrier(12), [], []

    def contend():
        held = OutputLease(folder)
        start.wait()
        try:
            held.__enter__()
        except UsageError as error:
            refused.append(error)
        else:
            got.append(held)

    threads = [threading.Thread(target=contend) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 11)
    got[0].__exit__()


def test_a_number_that_comes_again_is_another_claim(folder):
    with OutputLease(folder, interval=60) as first:
        [found] = claim.claims(folder)
        claim.revoke(folder, found)
        with OutputLease(folder, interval=60) as second:
            assert second.fence.claim == first.fence.claim
            claim.revoke(folder, found)  # again: it is not this one
            second.fence.check()
            with pytest.raises(LeaseLost):
                first.fence.check()


def test_a_claim_that_cannot_be_read_is_watched(folder):
    with OutputLease(folder, interval=60):
        [found] = claim.claims(folder)
        folder.write_bytes(f"{found.name}/claim.json", b"")
        with OutputLease(folder, interval=0.2, timeout=0.5) as second:
            second.fence.check()


def test_what_killed_runs_left_of_their_claims_goes(folder, tmp_path):
    first = holder(folder)
    first.kill()
    first.wait()
    for name in (".claim-x", ".ended-y"):
        (tmp_path / "_vggbatch" / name).mkdir()
    with OutputLease(folder):
        names = {path.name for path in (tmp_path / "_vggbatch").iterdir()}
        assert names == {"lease.json", "owner.00000002"}


def test_a_renewal_carries_how_far_the_run_is(folder):
    with OutputLease(folder, interval=0.1) as held:
        held.report(Snapshot(5, 10, 1, 2.5))
        time.sleep(0.5)
        found = read_lease(folder)
    assert found.snapshot == Snapshot(5, 10, 1, 2.5)
    assert found.beat >= 1
    assert 0 <= found.still_for < 5
    assert found.silence() < 5
    assert replace(found, machine="another").silence() is None
    assert asdict(found)


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match=r"cannot write to .*file \(Not a directory\)"),
        OutputLease(Folder(str(tmp_path / "file"))),
    ):
        pass


def test_an_output_is_abandoned_when_all_that_claimed_it_are_dead_here(folder):
    assert lease.is_abandoned(folder)
    claim.create(folder, 1, asdict(replace(lease._new_lease(), started_ticks=1)))
    assert lease.is_abandoned(folder)
    claim.create(folder, 2, asdict(lease._new_lease()))
    assert not lease.is_abandoned(folder)


@pytest.mark.parametrize("holder", [{}, {"machine": "another"}])
def test_an_output_is_not_abandoned_while_its_holder_may_live(folder, holder):
    claim.create(folder, 1, asdict(replace(lease._new_lease(), **holder)))
    assert not lease.is_abandoned(folder)


@pytest.mark.parametrize("name", ["mkdir", "rename", "unlink", "rmdir", "fsync"])
def test_a_claim_is_given_back_though_each_removal_fails_at_first(
    folder, tmp_path, monkeypatch, name
):
    real, failed = getattr(os, name), set()

    def fails_once(*args, **options):
        if args[0] not in failed:
            failed.add(args[0])
            raise OSError(errno.EIO, "Input/output error")
        return real(*args, **options)

    with OutputLease(folder, interval=60):
        monkeypatch.setattr(os, name, fails_once)
    assert not list(tmp_path.iterdir())


_FAILURES = [
    (name, error, done)
    for name, error in (
        *(("mkdir", errno.EIO), ("fsync", errno.EIO), ("replace", errno.ENOSPC)),
        *(("rename", errno.EIO), ("rename", errno.ENOENT)),
    )
    for done in (False, True)
]
_QUICK = [("replace", errno.ENOSPC, False), ("rename", errno.ENOENT, True)]


@pytest.mark.parametrize(
    ("name", "error", "done"),
    [*_QUICK, *(pytest.param(*f, marks=pytest.mark.slow) for f in _FAILURES if f not in _QUICK)],
)
def test_an_output_that_could_not_be_claimed_is_free_for_the_same_process(
    tmp_path, monkeypatch, name, error, done
):
    """A process that lives keeps what it has claimed, as where the disk was full in a notebook."""
    real = getattr(os, name)
    for at in range(1, 20):
        folder, calls = Folder(str(tmp_path / str(at))), 0

        def fails(*args, at=at, **options):
            nonlocal calls
            calls += 1
            if calls != at or done:
                real(*args, **options)
            if calls == at:
                raise OSError(error, os.strerror(error), args[0])

        with suppress(OSError, UsageError), monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with OutputLease(folder, interval=60):
                patch.undo()
        with OutputLease(folder, interval=60):
            assert len(claim.claims(folder)) == 1
        assert not os.listdir(folder.root), at
        if calls < at:
            break
    assert 1 < at < 19


def test_a_deletion_is_done_though_its_file_cannot_be_removed_yet(folder, tmp_path, monkeypatch):
    def fails(*args, **options):
        raise OSError(errno.EIO, "Input/output error")

    with OutputLease(folder, interval=60) as held:
        for name in ("a", "b/c", "b/d/e"):
            held.fence.write_bytes(name, b"")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "unlink", fails)
            held.fence.delete("a")
            held.fence.delete_tree("b")
        assert [path.name for path in tmp_path.iterdir()] == ["_vggbatch"]
    assert not list(tmp_path.iterdir())


def test_a_claim_that_stays_is_reported_and_goes_with_the_next_command(
    folder, tmp_path, monkeypatch, caplog
):
    def fails(*args, **options):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.MonkeyPatch.context() as patch, OutputLease(folder):
        patch.setattr(os, "rename", fails)
    assert "could not be removed" in caplog.text
    monkeypatch.setattr(lease.Lease, "process_lives", lambda owner: False)
    with OutputLease(folder):
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_run_left_that_was_killed_while_it_gave_back_goes(folder, tmp_path):
    """The claim's file is there, and the folder of its files is not any more."""
    fence = claim.create(folder, 1, asdict(replace(lease._new_lease(), started_ticks=1)))
    os.rmdir(folder.path(fence.workspace))
    with OutputLease(folder) as held:
        assert held.fence.claim.endswith("2")
        assert [found.number for found in claim.claims(folder)] == [2]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"token": 7}', b'{"token": "../../../precious"}', b'{"token": ".."}']
)
def test_a_claim_that_cannot_be_read_is_taken_away_with_nothing_else(tmp_path, content):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("")
    folder = Folder(str(tmp_path / "out"))
    (tmp_path / "out/_vggbatch/owner.00000001").mkdir(parents=True)
    (tmp_path / "out/_vggbatch/owner.00000001/claim.json").write_bytes(content)
    with OutputLease(folder, interval=0.05, timeout=0.1):
        assert [found.number for found in claim.claims(folder)] == [2]
    assert (tmp_path / "precious/file").exists()
    assert not list((tmp_path / "out").iterdir())
