"""What other users may have put where the locks of cores are kept; none of it may fail a run."""

import os
import socket
import stat

import pytest

from vggbatch.classifier import core_locks
from vggbatch.classifier.core_locks import lock_core


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setattr(core_locks, "_base", lambda: tmp_path)
    monkeypatch.setattr(core_locks, "_warned", False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def elsewhere(path):
    (path.parent / "elsewhere").mkdir(exist_ok=True)
    path.symlink_to(path.parent / "elsewhere")


FOREIGN = {
    "a file": lambda path: path.touch(),
    "a fifo": os.mkfifo,
    "a directory": lambda path: path.mkdir(),
    "a link to a directory": elsewhere,
    "a link to a file": lambda path: path.symlink_to("/etc/hostname"),
    "a link to nothing": lambda path: path.symlink_to(path.parent / "victim"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a socket": unix_socket,
}


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_folder_and_its_locks_are_for_all_users(base, mask):
    before = os.umask(mask)
    try:
        lock = lock_core(0)
    finally:
        os.umask(before)
    assert lock is not None
    folder = base / "vggbatch-cores"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert stat.S_IMODE((folder / "cpu0.lock").stat().st_mode) == 0o644
    assert lock_core(0) is None
    assert lock_core(1) is not None
    lock.close()
    assert lock_core(0) is not None


@pytest.mark.parametrize("what", FOREIGN)
def test_anything_in_place_of_the_folder_leads_to_one_of_the_users_own(base, what, caplog):
    place = base / "vggbatch-cores"
    FOREIGN[what](place)
    lock = lock_core(3)
    assert lock is not None
    own = base / f"vggbatch-cores-{os.getuid()}"
    if what == "a directory":
        assert (place / "cpu3.lock").is_file()
        return
    assert os.listdir(own) == ["cpu3.lock"]
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert lock_core(3) is None
    assert not (base / "victim").exists()
    assert not (base / "elsewhere/cpu3.lock").exists()
    assert len(caplog.records) == 1
    assert f"cannot lock cores in {place} (" in caplog.text


@pytest.mark.parametrize("what", sorted(FOREIGN.keys() - {"a file"}))
def test_anything_in_place_of_a_lock_leads_to_the_users_own_folder(base, what, caplog):
    (base / "vggbatch-cores").mkdir()
    FOREIGN[what](base / "vggbatch-cores/cpu0.lock")
    lock = lock_core(0)
    assert lock is not None
    assert lock_core(0) is None
    assert len(caplog.records) == 1
    # the others are as they were
    assert lock_core(1) is not None
    assert (base / "vggbatch-cores/cpu1.lock").is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_lock_excludes_and_another_users_own_folder_is_left(base, caplog):
    (base / "vggbatch-cores").mkdir()
    (base / "vggbatch-cores/cpu0.lock").touch()
    os.chown(base / "vggbatch-cores/cpu0.lock", 1234, 1234)
    lock = lock_core(0)
    assert lock is not None
    assert not caplog.records
    assert (base / "vggbatch-cores/cpu0.lock").stat().st_uid == 1234
    (base / "vggbatch-cores").rename(base / "old")
    (base / "vggbatch-cores").touch()
    own = base / f"vggbatch-cores-{os.getuid()}"
    own.mkdir()
    os.chown(own, 1234, 1234)
    assert lock_core(0) is None


def test_no_place_at_all_is_no_failure(base, monkeypatch, caplog):
    monkeypatch.setattr(core_locks, "_base", lambda: base / "nowhere")
    assert lock_core(0) is None
    assert len(caplog.records) == 1
