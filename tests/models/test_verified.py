"""Files that are compared with their digest, and read whole only where something has changed."""

import hashlib
import os
import time
from types import SimpleNamespace

import pytest

from vggbatch.models import verified
from vggbatch.models.verified import is_intact

DATA = bytes(range(256)) * 20_000
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file above the size up to which all are read, and notes of their own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = tmp_path / "model.data"
    path.write_bytes(DATA)
    time.sleep(0.12)
    return path


@pytest.fixture
def reads(monkeypatch):
    """How often a file was read whole."""
    counted = []
    real = verified.sha256_of
    monkeypatch.setattr(verified, "sha256_of", lambda file: counted.append(1) or real(file))
    return counted


def test_a_file_is_read_once(file, reads):
    assert all(is_intact(file, SHA, len(DATA)) for _ in range(5))
    assert len(reads) == 1
    assert (file.parent / "vggbatch").stat().st_mode & 0o777 == 0o700


def changed_byte(path):
    with path.open("r+b") as file:
        file.seek(70_000)
        file.write(b"#")


def with_its_old_times(path):
    before = path.stat()
    changed_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path):
    path.with_suffix(".new").write_bytes(DATA[::-1])
    os.replace(path.with_suffix(".new"), path)


def as_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "zeroed": lambda path: path.write_bytes(bytes(len(DATA))),
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, len(DATA) - 1),
    "longer": lambda path: path.write_bytes(DATA + b"x"),
    "one byte": changed_byte,
    "one byte and its old times": with_its_old_times,
    "another file": replaced,
    "gone": lambda path: path.unlink(),
    "a folder": as_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_also_after_the_file_was_right(file, damage):
    assert is_intact(file, SHA, len(DATA))
    DAMAGE[damage](file)
    assert not is_intact(file, SHA)
    assert not is_intact(file, SHA, len(DATA))


def test_another_boot_reads_again(file, reads, monkeypatch):
    assert is_intact(file, SHA)
    monkeypatch.setattr(verified, "_boot", lambda: "another")
    assert is_intact(file, SHA)
    assert len(reads) == 2


def test_another_digest_is_another_question(file):
    assert is_intact(file, SHA)
    assert not is_intact(file, "0" * 64)


def test_a_change_just_now_is_not_noted(file, reads):
    file.write_bytes(DATA)
    assert is_intact(file, SHA)
    assert is_intact(file, SHA)
    assert len(reads) == 2


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o710])
def test_notes_that_others_could_make_do_not_count(file, mode, monkeypatch, tmp_path):
    (tmp_path / "vggbatch").mkdir()
    (tmp_path / "vggbatch").chmod(mode)
    assert is_intact(file, SHA)
    assert not os.listdir(tmp_path / "vggbatch")


def test_without_a_private_folder_every_look_reads(file, reads, monkeypatch):
    monkeypatch.setattr(verified, "_private_folder", lambda: None)
    assert all(is_intact(file, SHA) for _ in range(3))
    assert len(reads) == 3


@pytest.mark.parametrize(
    ("ago", "fraction", "settled"),
    [(0.5, 0.25, True), (0.05, 0.25, False), (1.5, 0, False), (4, 0, True)],
)
def test_times_in_whole_seconds_settle_later(ago, fraction, settled, monkeypatch):
    changed = 1_700_000_000 + fraction
    monkeypatch.setattr(verified.time, "time", lambda: changed + ago)
    found = SimpleNamespace(st_ctime=changed, st_ctime_ns=int(changed * 10**9))
    assert verified._is_settled(found) == settled
