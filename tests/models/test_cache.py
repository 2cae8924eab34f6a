import hashlib
import os
from pathlib import Path

import pytest

from vggbatch.errors import UsageError
from vggbatch.models.cache import (
    cache_folder,
    check_cache,
    open_cache,
    sha256_of,
    trust_cache,
    weights_path,
)


def test_cache_folder_by_option_then_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("VGGBATCH_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("~/.cache/vggbatch").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "vggbatch"
    monkeypatch.setenv("VGGBATCH_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert cache_folder("/elsewhere") == Path("/elsewhere")


def test_digest_is_of_the_whole_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"ab" * 5_000_000)
    assert sha256_of(path) == hashlib.sha256(b"ab" * 5_000_000).hexdigest()
    assert weights_path("/c", "0123456789abcdef99", "n.onnx") == Path(
        "/c/weights/0123456789abcdef/n.onnx"
    )


def test_a_new_cache_is_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        assert open_cache(str(tmp_path / "a/b")) == tmp_path / "a/b"
    finally:
        os.umask(before)
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    assert open_cache(str(tmp_path / "a/b")).is_dir()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o707, 0o702, 0o722])
@pytest.mark.parametrize("place", ["", "weights", "prepared"])
def test_a_cache_that_others_can_write_to_is_refused(tmp_path, monkeypatch, mode, place):
    cache = tmp_path / "cache"
    (cache / "weights").mkdir(parents=True, mode=0o755)
    (cache / "prepared").mkdir()
    os.chmod(cache, 0o755)
    check_cache(str(cache))
    (cache / place).chmod(mode)
    if mode == 0o722:
        monkeypatch.setattr("vggbatch.models.cache._is_own_group", lambda number: False)
    with pytest.raises(UsageError, match=f"can be written by others .mode {mode:04o}"):
        open_cache(str(cache))
    monkeypatch.setenv("VGGBATCH_CACHE_TRUSTED", "true")
    open_cache(str(cache))
    monkeypatch.delenv("VGGBATCH_CACHE_TRUSTED")
    monkeypatch.setattr("vggbatch.models.cache._trusted", set())
    trust_cache(str(cache))
    open_cache(str(cache))


def test_a_group_of_the_user_alone_may_write(tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir(mode=0o770)
    (tmp_path / "cache").chmod(0o775)
    monkeypatch.setattr("vggbatch.models.cache._is_own_group", lambda number: True)
    open_cache(str(tmp_path / "cache"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_cache_is_for_reading_alone(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    os.chown(cache, 1234, 1234)
    with pytest.raises(UsageError, match="belongs to the user with the number 1234"):
        open_cache(str(cache))
    cache.chmod(0o555)
    assert open_cache(str(cache)) == cache


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make the model cache"):
        open_cache(str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.expanduser", no_home)
    with pytest.raises(UsageError, match="set VGGBATCH_CACHE_DIR"):
        cache_folder("~/cache")


def no_home(path):
    raise RuntimeError("Could not determine home directory.")
