"""SECURITY.md's table of limits says what the code has."""

from pathlib import Path

import pytest

from vggbatch import bounded, bounds
from vggbatch.cli.commands import forget
from vggbatch.config import DecodeOptions, yaml_text
from vggbatch.labels import devkit, load
from vggbatch.models import fetch, local_files, outline
from vggbatch.models.graphs import endless
from vggbatch.models.inspection import stated
from vggbatch.models.preparation import making
from vggbatch.output import layout, reader
from vggbatch.preprocess import effort, isolated, places
from vggbatch.sources import base
from vggbatch.sources.formats import manifest, parquet, tar, tfrecord
from vggbatch.sources.tables import columns, dialect
from vggbatch.storage import filesystem, parquet_check, parquet_pages, ranges, web

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
UNITS = ("bytes", "KiB", "MiB", "GiB")
DECODE = DecodeOptions()


def size(count):
    """As the table writes bytes: the largest unit of which they are a whole number."""
    unit = 0
    while count % 1024 == 0 and unit < len(UNITS) - 1:
        count, unit = count // 1024, unit + 1
    return f"{count:,} {UNITS[unit]}"


def same(*values):
    """One value that several places of the code have."""
    assert len(set(values)) == 1
    return values[0]


def table():
    """The rows of the table of limits: what, and the limit."""
    text = SECURITY.read_text().split("## Limits\n\n", 1)[1].split("\n\n", 1)[0]
    return {row.split("|")[1].strip(): row.split("|")[2].strip() for row in text.splitlines()[2:]}


LIMITS = {
    "bytes of an image": f"{size(DECODE.max_bytes)}, counted while they arrive",
    "pixels of an image": f"{DECODE.max_pixels:,}",
    "CPU time to decode an image": (
        f"{isolated._FEWEST_SECONDS:g} s (a BMP: {isolated._FEWEST_SECONDS_BITMAP:g} s) and "
        f"{isolated._SECONDS_A_MEGABYTE:g} s a megabyte, at most {DECODE.timeout_s:g} s"
    ),
    "memory to decode an image, beside its bytes": (
        f"{DECODE.max_memory_mb:,} MiB, at most {'half' if places._LARGEST_SHARE == 2 else '?'} "
        "of the machine's"
    ),
    f"large images (above {effort.ORDINARY_PIXELS / 1e6:.1f} million pixels) at a time on a "
    "machine": (
        f"a {'quarter' if places._SHARE == 4 else '?'} of its memory over `decode.max_memory_mb`, "
        "at least one; more than one only while the memory is free"
    ),
    "an image on a web server": (
        f"{bounded._FIRST_SECONDS:g} s of silence, {bounded._SLOWEST // 1024} kB/s on average, "
        f"{bounded._MOST_SECONDS:g} s"
    ),
    "a listing of a web server": (
        f"{size(web._PAGE)} a page, {size(web._TOTAL)} and {web._PAGES:,} pages in all, "
        f"{web._DEEPEST} folders deep"
    ),
    "a mirror of networks": (
        f"{fetch.FIRST_SECONDS:g} s and {fetch._SLOWEST // 1024} kB/s on average"
    ),
    "a web server that compresses its answer": "refused: never asked for",
    "pipes, sockets, devices": "not opened",
    "a network's graph, its external weights": (
        f"{size(outline.MAX_BYTES)}, {size(local_files._MAX_WEIGHTS_BYTES)}"
    ),
    "loops of a network": f"{endless._MOST_TURNS:,} turns, by a constant",
    "preparing a network": "one hour" if making._BUILD_SECONDS == 3600 else "?",
    "a tar's header with its records; tars inside tars": (
        f"{size(tar._MAX_HEADER_BYTES)}; {tar._DEEPEST} deep"
    ),
    "a record of TFRecord": size(tfrecord._LARGEST_RECORD),
    "a page of Parquet, decompressed": (
        f"{size(parquet_pages._PAGE)}, or {parquet_pages._RATIO} times its bytes up to "
        f"{size(parquet_pages._LARGEST_PAGE)}"
    ),
    "names and labels in Parquet": (
        f"{size(parquet._LONGEST_NAME)} each, "
        f"{size(same(parquet._TEXT_BYTES, parquet_pages._TEXT))} and 16 times the file in all"
    ),
    "rows of Parquet": f"{parquet_pages._FREE_ROWS:,} and one for 32 bytes of file",
    "Parquet's footer, of an input": size(parquet_pages._FOOTER),
    "Parquet's footer, of an output": size(parquet_check.MAX_FOOTER),
    "manifests, tables of labels": (
        f"{size(same(manifest._MAX_BYTES, load._MAX_BYTES, columns._TEXT_BYTES))}; as text "
        f"{dialect.MOST_CELLS:,} lines and cells, and {dialect._LONGEST_LINE:,} characters a line"
    ),
    "the development kit's archive, real.json": (
        f"{size(load._MAX_SPECIAL_BYTES)}; unpacked, {size(devkit._MAX_UNPACKED)}"
    ),
    "lists of classes, a network's configuration": size(
        same(bounded.MAX_CLASS_LIST, stated._LARGEST_CONFIG)
    ),
    "a list of images to forget": size(forget._MOST),
    "rows of an output": (
        f"{parquet_check._FREE_ROWS:,} a file, or {parquet_check._ROWS_A_BYTE} for a byte"
    ),
    "a column of a row group of an output": (
        f"{size(parquet_check._FREE)} in memory, or {parquet_check._RATIO:,} times its bytes"
    ),
    "documents and tables of an output": (
        f"{size(filesystem.MAX_DOCUMENT)}; the list of its input, an index of a shard and, in a "
        "store, a file of predictions "
        f"{size(same(layout._LARGEST_INPUT, base._LARGEST_INDEX, reader._LARGEST_FILE))}"
    ),
    "numbers in documents of an output": (
        f"below 2<sup>{bounds.LARGEST.bit_length() - 1}</sup>, not negative, finite; values of "
        "other types than a run writes, and keys that are there twice, are refused"
    ),
    "YAML": f"{size(yaml_text.MAX_BYTES)}, {yaml_text._DEPTH} collections deep, no aliases",
    "read ahead of images of unknown size": (
        f"{size(ranges._UNKNOWN_AHEAD)} each; larger ones one at a time"
    ),
}


@pytest.mark.parametrize("what", LIMITS)
def test_a_limit_is_what_the_code_has(what):
    assert table()[what] == LIMITS[what]


def test_every_limit_is_compared():
    assert table().keys() == LIMITS.keys()


def test_the_settings_that_are_named_are_there():
    text = SECURITY.read_text()
    for name in ("max_bytes", "max_pixels", "timeout_s", "max_memory_mb"):
        assert f"`decode.{name}`" in text
        assert name in DecodeOptions.model_fields
