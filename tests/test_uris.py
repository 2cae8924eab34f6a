"""What a path or URI may name, and what a document may."""

import os
from pathlib import Path

import pytest

from vggbatch import uris
from vggbatch.errors import UsageError
from vggbatch.storage.filesystem import Folder, filesystem, is_local


@pytest.mark.parametrize(
    "name",
    [
        *("a::b.jpg", "x#2.jpg", "what?.jpg", "50%.jpg", "a%20b.jpg", "~b.jpg", "file:x.jpg"),
        *("memory:x", "x*[1].jpg", "s3:x.jpg", " x.jpg", "simplecache::x.jpg", "data:image,x"),
    ],
)
def test_a_local_name_is_that_file(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"here")
    monkeypatch.chdir(tmp_path)
    for path in (name, str(tmp_path / name), Path(tmp_path / name).as_uri()):
        fs, inside = filesystem(path)
        assert is_local(fs)
        assert fs.cat_file(inside) == b"here", path


def test_file_uris(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert uris.local_path("file:///my%20images/b%2312.jpg") == "/my images/b#12.jpg"
    assert uris.local_path("FILE://localhost/x/") == "/x"
    assert os.fsencode(uris.local_path("file:///%ff.jpg")) == b"/\xff.jpg"
    assert Folder("file:///tmp/a%20b").uri == "/tmp/a b"
    with pytest.raises(uris.Refused, match="names a file of the machine data: file:/// has three"):
        filesystem("file://data/x.jpg")


def test_local_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for path, expected in [(".", ""), ("./a", "/a"), ("a/", "/a"), ("a/../b", "/a/../b")]:
        assert uris.local_path(path) == f"{tmp_path}{expected}"
    assert uris.local_path("~/x") == "/home/me/x"
    assert uris.local_path("/") == "/"


@pytest.mark.parametrize(
    "uri",
    [
        *("reference://a.jpg::http://h/r.json", "simplecache::http://h/a.jpg", "zip://a::/x.zip"),
        *("filecache::s3://b/a", "ftp://h/a.jpg", "sftp://h/a", "ssh://h/a", "smb://h/a"),
        *("hdfs://h/a", "webhdfs://h/a", "arrow_hdfs://h/a", "github://o:r@/a", "git:///r:a"),
        *("libarchive://a::/x", "tar://a::/x", "blockcache::http://h/a", "dask://h/a"),
        *("jupyter://h/a", "local:///etc/passwd", "nosuch://x.jpg"),
        *("generic://file:///etc/passwd", "dir://a::file:///etc", "data://x", "javascript://x"),
        *("http://[::1/x.jpg", "http://127.0.0.1:99999/x.jpg", "http:///x.jpg", "http://a b/x"),
        *(f"http://{'a' * 70}.com/x", "http://h:port/x", "https://%2e/x", "/a\0b", "file:///a%00b"),
    ],
)
def test_what_is_refused(uri):
    for document in ("/list.txt", "s3://b/list.txt", "https://h/list.txt"):
        with pytest.raises(uris.Refused):
            uris.named_by(document, uri)
    with pytest.raises(uris.Refused):
        uris.check(uri)
    with pytest.raises(UsageError):
        filesystem(uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://b/a::c.jpg", "S3A://b/x", "gs://b/x y", "abfs://c@a.dfs.core.windows.net/x"),
        *("az://c/x", "hf://datasets/a/b", "http://h_x/a?b", "https://münchen.de/x", "gcs://b/x"),
        "http://[::1]:80/x",
    ],
)
def test_what_is_opened(uri):
    uris.check(uri)
    for document in ("/list.txt", "s3://b/list.txt"):
        assert uris.named_by(document, uri) == uri


def test_a_setting_allows_more(monkeypatch):
    monkeypatch.setenv(uris.VARIABLE, "memory, FTP")
    uris.check("memory://x")
    uris.check("ftp://h/x")
    uris.allow(["sftp", "s3", "ftp"])
    assert os.environ[uris.VARIABLE] == "memory, FTP,sftp"
    with pytest.raises(uris.Refused, match="allow_protocols=smb"):
        uris.check("smb://h/x")
    with pytest.raises(uris.Refused, match="behind one another"):
        uris.check("simplecache::ftp://h/x")


@pytest.mark.parametrize(
    "text", ["/etc/passwd", "file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/x"]
)
@pytest.mark.parametrize(
    "document", ["s3://b/list.txt", "http://h/l.csv", "gs://b/l", "memory://l"]
)
def test_what_is_remote_names_nothing_local(document, text):
    with pytest.raises(uris.Refused, match="a file of this machine, named by"):
        uris.named_by(document, text)


@pytest.mark.parametrize(
    ("document", "text", "expected"),
    [
        ("/d/list.txt", "a::b.jpg", "/d/a::b.jpg"),
        ("/d/list.txt", "./sub//x.jpg", "/d/sub/x.jpg"),
        ("/d/list.txt", "file:///a%20b.jpg", "/a b.jpg"),
        ("file:///my%20d/list.txt", "x.jpg", "/my d/x.jpg"),
        ("s3://b/d/list.txt", "../x.jpg", "s3://b/x.jpg"),
        ("s3://b/d/list.txt", "../../../../c/x.jpg", "s3://b/c/x.jpg"),
        ("s3://b/list.txt", "~/x.jpg", "s3://b/~/x.jpg"),
        ("https://h/d/list.txt?sas=1", "x y.jpg", "https://h/d/x y.jpg?sas=1"),
        ("https://h/d/list.txt?sas=1", "x.jpg?v=2", "https://h/d/x.jpg?v=2"),
        ("https://h/d/list.txt", "../../x#2.jpg", "https://h/x%232.jpg"),
    ],
)
def test_relative_paths(document, text, expected):
    assert uris.named_by(document, text) == expected
    assert expected.startswith(uris.folder_of(document)) == (
        ".." not in text and "a%20b" not in text
    )


def test_all_spellings_of_a_path_are_one(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    spellings = ["a", "a/", "./a", "a/../a", "link", f"{tmp_path}/a/", f"file://{tmp_path}/a"]
    assert {uris.resolved(text) for text in spellings} == {f"{tmp_path}/a"}
    assert uris.resolved("s3://bucket/a/") == "s3://bucket/a"
