"""Marks of what this user has recorded."""

import os

import pytest

from vggbatch.output.ownership.recorded import is_own, mark_of
from vggbatch.storage.filesystem import Folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VGGBATCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_mark_is_of_a_file_of_an_output(tmp_path, cache):
    folder = Folder(str(tmp_path / "out"))
    mark = mark_of(folder, b"data")
    assert is_own(folder, b"data", mark)
    assert mark_of(folder, b"data") == mark
    assert not is_own(folder, b"other", mark)
    assert not is_own(folder, b"data", b"0" * 64)
    assert not is_own(folder, b"data", b"")
    # as where somebody has copied it into an output of theirs
    assert not is_own(Folder(str(tmp_path / "theirs")), b"data", mark)
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert is_own(Folder(str(tmp_path / "link")), b"data", mark)


def test_the_key_is_the_users_alone(tmp_path, cache):
    folder = Folder(str(tmp_path / "out"))
    mark = mark_of(folder, b"data")
    (key,) = cache.iterdir()
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    assert not is_own(folder, b"data", mark)
    assert mark_of(folder, b"data") is None
    os.replace(key, cache / "elsewhere")
    (cache / "elsewhere").chmod(0o600)
    key.symlink_to(cache / "elsewhere")
    assert mark_of(folder, b"data") is None
    key.unlink()
    assert not is_own(folder, b"data", mark)
    assert not is_own(folder, b"data", mark_of(folder, b"other"))


def test_without_a_place_for_a_key_nothing_is_marked(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VGGBATCH_CACHE_DIR", str(tmp_path / "file" / "cache"))
    folder = Folder(str(tmp_path / "out"))
    assert mark_of(folder, b"data") is None
    assert not is_own(folder, b"data", b"")


@pytest.mark.parametrize("left", [b"", bytes(32), b"short", b"x" * 33])
def test_what_a_power_cut_has_left_of_a_key_is_none_and_is_made_again(tmp_path, cache, left):
    folder = Folder(str(tmp_path / "out"))
    mark = mark_of(folder, b"data")
    (key,) = cache.iterdir()
    key.write_bytes(left)
    assert not is_own(folder, b"data", mark)
    renewed = mark_of(folder, b"data")
    assert renewed is not None
    assert is_own(folder, b"data", renewed)
    assert not is_own(folder, b"data", mark)
    assert [file.name for file in cache.iterdir()] == [key.name]
    assert key.stat().st_mode & 0o777 == 0o600
