"""The few file operations, the same on disk and in every kind of store."""

import json
import os
import pickle
import subprocess
import sys

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from vggbatch.errors import UsageError
from vggbatch.storage.filesystem import Folder, arrow_file, filesystem, public_uri, store_errors


@pytest.fixture(params=["disk", "s3", "gs", "abfs"])
def folder(request, tmp_path):
    if request.param == "disk":
        return Folder(str(tmp_path / "out"))
    request.getfixturevalue(
        {"s3": "s3_server", "gs": "gcs_server", "abfs": "azure_server"}[request.param]
    )
    letters = "".join(letter if letter.isalnum() else "-" for letter in tmp_path.name.lower())
    name = f"storage-{letters[:40].strip('-')}"
    filesystem(f"{request.param}://{name}")[0].mkdir(name)
    return Folder(f"{request.param}://{name}/out")


def test_what_is_written_is_read(folder):
    folder.write_bytes("a/b.bin", b"content")
    folder.write_json("a/c.json", {"x": [1, 2]})
    assert folder.read_bytes("a/b.bin") == b"content"
    assert json.loads(folder.read_bytes("a/c.json")) == {"x": [1, 2]}
    assert folder.exists("a/b.bin")
    assert not folder.exists("a/none")
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("a/none")


def test_only_so_many_bytes_of_a_document_anywhere(folder):
    folder.write_bytes("a/run.json", b"{} " * 4)
    folder.write_bytes("a/empty.json", b"")
    assert folder.read_bytes("a/run.json", 12) == b"{} " * 4
    with pytest.raises(UsageError, match=r"a/run.json has more than 11 bytes"):
        folder.read_bytes("a/run.json", 11)
    assert folder.read_bytes("a/empty.json") == b""
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("a/none.json", 0)


def test_no_more_of_a_document_is_asked_for_than_its_limit():
    """Nor is its size asked for first: documents are read before every write to a store."""
    fs = fsspec.filesystem("memory")
    asked = []

    class Store(type(fs)):
        def cat_file(self, path, start=None, end=None, **options):
            asked.append((start, end))
            return super().cat_file(path, start, end, **options)

        def info(self, path, **options):
            raise AssertionError("one request is enough")

    folder = Folder.__new__(Folder)
    folder.fs, folder.root, folder.uri = Store(), "/documents", "memory://documents"
    fs.pipe_file("/documents/run.json", bytes(100))
    with pytest.raises(UsageError, match=r"memory://documents/run.json has more than 64 bytes"):
        folder.read_bytes("run.json", 64)
    assert asked == [(0, 65)]
    fs.rm_file("/documents/run.json")


def test_listing_is_sorted_fresh_and_of_files_alone(folder):
    assert folder.list("a") == []
    for name in ("a/2.x", "a/1.x", "a/3.y", "a/sub/4.x"):
        folder.write_bytes(name, name.encode())
    assert [info.path for info in folder.list("a")] == ["a/1.x", "a/2.x", "a/3.y"]
    assert [info.path for info in folder.list("a", suffix=".x")] == ["a/1.x", "a/2.x"]
    before = folder.list("a")[0]
    folder.write_bytes("a/1.x", b"longer than before")
    after = folder.list("a")[0]
    assert (after.size, after.version) != (before.size, before.version)
    assert after.size == 18


def test_a_folder_that_was_emptied_has_no_files(folder):
    folder.write_bytes("a/b", b"1")
    folder.fs.rm([folder.path("a/b")])
    assert folder.list("a") == []


def test_an_object_that_stands_for_a_folder_is_no_file(s3_server):
    fs, root = filesystem("s3://storage-markers")
    fs.mkdir(root)
    folder = Folder("s3://storage-markers/out")
    fs.call_s3("put_object", Bucket=root, Key="out/a/", Body=b"")
    assert folder.list("a") == []
    folder.write_bytes("a/b", b"1")
    assert [info.path for info in folder.list("a")] == ["a/b"]


def test_a_file_appears_whole_or_not_at_all(folder):
    def fail():
        with folder.open_atomic("a/b") as file:
            file.write(b"half")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail()
    assert not folder.exists("a/b")
    assert folder.list("a") == []
    with folder.open_atomic("a/b") as file:
        file.write(b"whole")
    assert folder.read_bytes("a/b") == b"whole"


def test_deleting_what_is_not_there_is_no_error(folder):
    folder.delete("none")
    folder.write_bytes("a/b/c", b"1")
    folder.delete("a/b/c")
    folder.delete("a/b/c")
    assert not folder.exists("a/b/c")


def test_a_folder_pickles_as_its_uri(folder):
    data = pickle.dumps(folder)
    assert b"secret" not in data
    assert pickle.loads(data).uri == folder.uri


def test_a_relative_folder_is_the_same_one_in_a_process_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(Folder("out"))
    monkeypatch.chdir("/")
    assert pickle.loads(data).root == str(tmp_path / "out")


def test_unknown_protocols_are_one_line():
    with pytest.raises(UsageError, match="nosuch"):
        Folder("nosuch://bucket/x")


def test_a_clients_own_errors_become_os_errors():
    with pytest.raises(OSError, match="KeyError: 'Endpoint'"), store_errors():
        raise KeyError("Endpoint")
    with pytest.raises(FileNotFoundError), store_errors():
        raise FileNotFoundError


def test_what_a_killed_writer_left_is_hidden_from_readers_of_the_folder(tmp_path):
    code = (
        "import os, signal, sys; from vggbatch.storage.filesystem import Folder\n"
        "with Folder(sys.argv[1]).open_atomic('part-1.parquet') as file:\n"
        "    file.write(b'PAR1'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    pq.write_table(pa.table({"row": [1]}), tmp_path / "part-0.parquet")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    assert dataset.dataset(tmp_path, format="parquet").to_table().num_rows == 1


def test_public_uri_hides_what_may_be_secret():
    uri = "https://me:secret@host:8080/a/b.jpg?X-Amz-Signature=abc#f"
    assert public_uri(uri) == "https://host:8080/a/b.jpg"
    assert public_uri("abfs://box@account.dfs.core.windows.net/a?b") == (
        "abfs://box@account.dfs.core.windows.net/a?b"
    )
    assert public_uri("/data/what?.jpg") == "/data/what?.jpg"


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_bytes_for_arrow_are_in_memory_of_its_own(size):
    data = bytes(place % 251 for place in range(size))
    with arrow_file(data) as file:
        assert file.read() == data
    buffer = arrow_file(data).read_buffer()
    assert size == 0 or buffer.address != pa.py_buffer(data).address


def test_only_so_many_bytes_of_regular_files(tmp_path):
    folder = Folder(str(tmp_path))
    (tmp_path / "run.json").write_bytes(b"{}")
    assert folder.read_bytes("run.json", 2) == b"{}"
    with pytest.raises(UsageError, match=r"run.json has more than 1 bytes"):
        folder.read_bytes("run.json", 1)
    os.truncate(tmp_path / "run.json", 2**40)  # takes no place on the disk
    with pytest.raises(UsageError, match=r"run.json has more than 64 MiB"):
        folder.read_bytes("run.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(PermissionError, match="a named pipe"):
        folder.read_bytes("pipe.json")
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("none.json")
