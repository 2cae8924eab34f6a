import hashlib
from pathlib import Path

from vggbatch.models.cache import cache_folder, sha256_of, weights_path


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
