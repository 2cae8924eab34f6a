"""A folder in which everything is hostile, scored from inside it, on this machine and on Ray."""

import os
import struct
import zlib

import pyarrow.parquet as pq
import pytest

from tests.support import hostile
from tests.support.costly_images import HOSTILE, bmp_rle, chunk
from tests.support.images import cut, jpeg
from tests.support.ray.cluster import ENVIRON, ray_nodes
from vggbatch import score

NAMES = (
    *("a.jpg", "b.jpg", "a.jpg::b.jpg", "file:::a.jpg", "x#2.jpg", "50%2541.jpg", "$(touch x).jpg"),
    *(
        "\x1b]0;title\x07.jpg",
        "\x1b[2J\x1b[31m.jpg",
        "line\nbreak.jpg",
        "\u202egpj.exe.jpg",
        "-o.jpg",
    ),
    *("{jinja}{{7*7}}.jpg", "simplecache::s3:.jpg"),
)
"""Of good images, each with bytes of its own."""
SLOW = {
    "exif.jpg": HOSTILE["Exif in 60 segments"],
    "segments.jpg": HOSTILE["thousands of segments"],
    "scans.jpg": HOSTILE["thousands of scans"],
    "comments.ppm": HOSTILE["a plain PPM of comments"],
    "chunks.png": HOSTILE["a PNG of small chunks"],
    "texts.png": HOSTILE["a PNG of texts"],
}
"""What has to end, as a row, whatever becomes of it."""
ERRORS = {
    "x.jpg": "unreadable",
    "link.jpg": "missing",
    "runs.bmp": "timeout",
    "bomb.png": "too_large",
    "deflated.jpg": "not_image",
    "page.jpg": "not_image",
    "empty.jpg": "empty",
}


def bomb(side=60_000):
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(2**20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def expected(net, tmp_path_factory):
    """The first classes of the good images by their names, scored under names that are harmless."""
    root = tmp_path_factory.mktemp("plain")
    (root / "images").mkdir()
    for number in range(len(NAMES)):
        (root / "images" / f"{number:02}.jpg").write_bytes(jpeg(cut(number)))
    score(root / "images", model=net, output=root / "out")
    found = [row["top5_index"] for row in rows(root / "out")]
    assert len({tuple(five) for five in found}) == len(NAMES)
    return dict(zip(NAMES, found, strict=True))


@pytest.fixture
def folder(tmp_path):
    """The hostile folder."""
    folder = hostile.data_set(tmp_path / "images", 0)
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(jpeg(cut(number)))
    for name, data in SLOW.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "x.jpg")
    (folder / "link.jpg").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder)
    (folder / "runs.bmp").write_bytes(bmp_rle(178_000_000))
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "deflated.jpg").write_bytes(b"\x1f\x8b\x08\0" + bytes(100))
    (folder / "page.jpg").write_bytes(b"<!DOCTYPE html><script>alert(1)</script>\x1b[2J")
    (folder / "empty.jpg").touch()
    return folder


def rows(output):
    files = sorted((output / "predictions").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def check(done, folder, output, expected):
    """The rows are right, nothing was executed, and nothing raw reached the terminal."""
    assert not hostile.imported(folder)
    assert done.returncode == 0, done.stderr
    raw = [c for c in done.stdout + done.stderr if not (c.isprintable() or c == "\n")]
    assert not raw
    found = {row["source"].rpartition("/images/")[2]: row for row in rows(output)}
    assert found.keys() == {*NAMES, *SLOW, *ERRORS}
    for name, five in expected.items():
        assert found[name]["top5_index"] == five, name
    for name, kind in ERRORS.items():
        assert found[name]["error"].partition(":")[0] == kind, found[name]
    assert not any("\x1b" in (row["error"] or "") for row in found.values())
    assert not (folder / "x").exists()


@pytest.mark.slow
def test_by_processes_of_this_machine(folder, tmp_path, net, expected):
    done = hostile.run(folder, "score", ".", "-o", "../out", "-m", net)
    check(done, folder, tmp_path / "out", expected)


@pytest.mark.slow
def test_on_ray(folder, tmp_path, net, expected, monkeypatch):
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    with ray_nodes() as nodes:
        nodes.add(2)
        words = ("score", ".", "-o", "../out", "-m", net, "--address", nodes.address)
        done = hostile.run(folder, *words, "--set", "compute.executor=ray")
    check(done, folder, tmp_path / "out", expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["plan . -o ../out -m NET", "predict . -m NET", "pack . -o ../shards"]
)
def test_other_commands(folder, net, words):
    done = hostile.run(folder, *words.replace("NET", str(net)).split())
    assert not hostile.imported(folder)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    # what cannot be read is no success of these two
    assert done.returncode == len(errors) == ("plan" not in words), done.stderr
    assert all(c.isprintable() or c == "\n" for c in done.stdout + done.stderr)
