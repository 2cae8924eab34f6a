import os

import fsspec
import pytest

from tests.support.ports import free_ports
from vggbatch.errors import UsageError
from vggbatch.sources import listing
from vggbatch.sources.listing import list_input


@pytest.fixture
def tree(tmp_path):
    for name in ("a/x.jpg", "a/b/y.jpg", ".hidden/z.jpg", "a/._x.jpg", "t.tar"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12")
    return tmp_path


def names_in(uri) -> list[str]:
    return sorted(f.name for f in list_input(str(uri)))


def test_folder_at_any_depth_without_hidden(tree):
    assert names_in(tree) == ["a/b/y.jpg", "a/x.jpg", "t.tar"]
    (file,) = [f for f in list_input(str(tree)) if f.name == "t.tar"]
    assert file.uri == str(tree / "t.tar")
    assert file.size == 2
    assert file.version == str(os.stat(tree / "t.tar").st_mtime_ns)
    assert not file.explicit


def test_trailing_slash_and_relative_path(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert names_in("a/") == names_in("a") == ["b/y.jpg", "x.jpg"]
    assert {f.uri for f in list_input("a")} == {str(tree / "a/x.jpg"), str(tree / "a/b/y.jpg")}


def test_spellings_of_one_folder(tree):
    plain = {file.uri for file in list_input(str(tree))}
    for spelling in (f"{tree}/", f"{tree.parent}/./{tree.name}", f"{tree}/../{tree.name}//"):
        assert {file.uri for file in list_input(spelling)} == plain


def test_file(tree):
    (file,) = list_input(str(tree / "t.tar"))
    assert (file.name, file.size, file.explicit) == ("t.tar", 2, True)


def test_glob_names_are_under_its_fixed_part(tree):
    assert names_in(tree / "a" / "*.jpg") == ["x.jpg"]
    assert names_in(tree / "**" / "*.jpg") == ["a/b/y.jpg", "a/x.jpg"]
    assert names_in(tree / "*") == ["a/b/y.jpg", "a/x.jpg", "t.tar"]


def test_links_are_followed_and_loops_end(tree):
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "link.jpg").symlink_to(tree / "a" / "x.jpg")
    (tree / "gone.jpg").symlink_to(tree / "nowhere")
    found = {f.name: f for f in list_input(str(tree))}
    assert sorted(found) == ["a/b/y.jpg", "a/x.jpg", "gone.jpg", "link.jpg", "t.tar"]
    assert found["gone.jpg"].size == -1


def test_other_stores(tree):
    fs = fsspec.filesystem("memory")
    fs.pipe({"/bucket/a/x.jpg": b"123", "/bucket/a/.y.jpg": b""})
    try:
        (file,) = list_input("memory://bucket/a")
        assert (file.uri, file.name, file.size) == ("memory:///bucket/a/x.jpg", "x.jpg", 3)
    finally:
        fs.rm("/bucket", recursive=True)


def test_nothing_there(tree):
    with pytest.raises(UsageError, match="no such file"):
        list(list_input(str(tree / "none")))


def test_no_web_server_there():
    [port] = free_ports(1)
    with pytest.raises(UsageError, match=r"cannot be listed: .*127\.0\.0\.1"):
        list(list_input(f"http://127.0.0.1:{port}/a.tar"))


@pytest.fixture
def bucket(s3_server):
    fs = fsspec.filesystem("s3")
    if not fs.exists("listing"):
        fs.mkdir("listing")
        keys = [f"n{i:08d}/{j}.jpg" for i in range(40) for j in range(3)]
        keys += ["top.jpg", "n00000001/deep/er/x.jpg", ".hidden/x.jpg", "n00000002/._x.jpg"]
        # consoles write an empty object for a folder; it is no file
        fs.pipe({f"listing/a/b/{key}": b"x" for key in keys})
        for marker in ("a/", "a/b/", "a/b/n00000003/", "a/b/empty/"):
            fs.call_s3("put_object", Bucket="listing", Key=marker, Body=b"")
    return "s3://listing/a"


def test_folders_of_a_bucket_are_listed_side_by_side(bucket, monkeypatch):
    expected = [f"b/n{i:08d}/{j}.jpg" for i in range(40) for j in range(3)]
    expected = sorted([*expected, "b/top.jpg", "b/n00000001/deep/er/x.jpg"])
    assert names_in(bucket) == expected
    assert names_in(f"{bucket}/") == expected
    assert all(file.version and file.size == 1 for file in list_input(bucket))
    monkeypatch.setattr(listing, "_MOST_FOLDERS", 10)
    assert names_in(bucket) == expected
