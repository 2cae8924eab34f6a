"""One bad line of a list costs its own row, and no time."""

import os

import pytest

from tests.sources.samples import jpeg
from tests.support.ports import free_ports
from tests.support.shards import read_all
from vggbatch.errors import ImageError
from vggbatch.sources.discover import survey

LINES = {
    "too long": ("img/" + "a" * 300 + ".jpg", "File name too long"),
    "too deep": ("a/" * 3000 + "x.jpg", "File name too long"),
    "NUL": ("img/0\0.jpg", "no name of a file"),
    "unknown scheme": ("foo://bucket/x.jpg", "foo:// is not opened"),
    "no IPv6 address": ("http://[::1/x.jpg", "not a valid URL"),
    "no port": ("http://127.0.0.1:99999/x.jpg", "not a valid URL"),
    "no host": ("http:///x.jpg", "not a valid URL"),
    "refused": ("http://127.0.0.1:{port}/x.jpg", "does not answer"),
    "below a file": ("img/0.jpg/x.jpg", "no such file"),
    "a folder": ("img", "a directory"),
    "a link to itself": ("img/loop.jpg", "Too many levels of symbolic links"),
    "a pipe": ("img/pipe.jpg", "named pipe"),
    "a device": ("/dev/zero", "a device"),
    "a shard that is gone": ("gone.tar", "no such file"),
    "a pattern": ("img/*.jpg", "no such file"),
    "base64": ("data:image/png;base64,iVBORw0KGgo=", "no such file"),
}


@pytest.mark.parametrize(("line", "said"), LINES.values(), ids=LINES)
def test_a_bad_line_is_one_row(tmp_path, line, said):
    (tmp_path / "img").mkdir()
    for number in range(3):
        (tmp_path / f"img/{number}.jpg").write_bytes(jpeg(number))
    (tmp_path / "img/loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "img/pipe.jpg")
    [port] = free_ports(1)
    lines = ["img/0.jpg", line.format(port=port), "img/1.jpg", "img/2.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    rows = list(read_all(survey([str(tmp_path / "list.txt")]).shards).values())
    (error,) = (row for row in rows if isinstance(row, ImageError))
    assert said.lower() in error.message.lower()
    assert sorted(row for row in rows if row is not error) == sorted(map(jpeg, range(3)))
