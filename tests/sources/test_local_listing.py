import os
import socket
import subprocess

import pytest

from vggbatch.sources import local_listing
from vggbatch.sources.input_warnings import HIDDEN, LOOP, LeftOut, Names
from vggbatch.sources.listing import list_input


def listed(root, left_out=None):
    return {file.name: file for file in list_input(str(root), left_out)}


def test_hidden_things_are_counted_and_named(tmp_path):
    for name in (".DS_Store", "a/._x.jpg", "__MACOSX/a/._x.jpg", "@eaDir/x.jpg/T.jpg", "a/x.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    left_out = LeftOut()
    assert list(listed(tmp_path, left_out)) == ["a/x.jpg"]
    assert left_out.kinds == {HIDDEN: Names(4, (".DS_Store", "@eaDir", "__MACOSX"))}


def test_a_link_to_itself_and_other_dead_ends_cost_themselves(tmp_path):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "x.jpg").write_bytes(b"1")
    found = listed(tmp_path)
    assert sorted(found) == ["a", "b", "gone.jpg", "loop.jpg", "x.jpg"]
    assert "Too many levels of symbolic links" in found["loop.jpg"].error
    assert found["a"].fault == found["b"].fault != ""
    assert (found["gone.jpg"].size, found["x.jpg"].error) == (-1, None)


def test_pipes_and_sockets_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "p.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.jpg"))
        found = listed(tmp_path)
    assert found["p.jpg"].error == "unreadable: a named pipe, and no file"
    assert found["s.jpg"].error == "unreadable: a socket, and no file"
    (given,) = list_input(str(tmp_path / "p.jpg"))
    assert (given.error, given.explicit) == (found["p.jpg"].error, True)


def test_folders_full_of_links_to_each_other_end(tmp_path):
    # twelve folders have half a billion paths
    for i in range(12):
        (tmp_path / f"{i:02}").mkdir()
        (tmp_path / f"{i:02}/x.jpg").write_bytes(b"1")
        for j in range(12):
            (tmp_path / f"{i:02}/to{j:02}").symlink_to(f"../{j:02}", target_is_directory=True)
    left_out = LeftOut()
    found = listed(tmp_path, left_out)
    assert {f"{i:02}/x.jpg" for i in range(12)} <= set(found)
    assert len(found) <= 12 * (local_listing._MOST_VISITS + 1)
    assert list(left_out.kinds) == [LOOP]
    assert listed(tmp_path) == found


def test_trees_deeper_than_a_path_may_be_long(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"1")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = listed(tmp_path)
    # Python 3.11's own rmtree, and so pytest, cannot delete it
    subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)
    (lost,) = found.keys() - {"x.jpg"}
    assert found[lost].error == "unreadable: File name too long"


def test_a_folder_that_may_not_be_read_is_one_row(tmp_path, monkeypatch):
    for name in ("a/x.jpg", "b/y.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(local_listing.os, "scandir", refuse)
    found = listed(tmp_path)
    assert {name: file.error for name, file in found.items()} == {
        "a/x.jpg": None,
        "b": "unreadable: Permission denied",
    }
    with pytest.raises(Exception, match="may not be read"):
        listed(tmp_path / "b")
