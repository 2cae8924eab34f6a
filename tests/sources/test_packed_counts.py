"""A set that `pack` has written, after a copy that has put zeros where images or labels were."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.samples import jpeg, tar_bytes
from tests.support.shards import write
from vggbatch.chunks.chunk import as_recorded, shard_table, shards_of
from vggbatch.errors import UsageError
from vggbatch.sources.base import DAMAGED, Packed
from vggbatch.sources.discover import discover, reader_for
from vggbatch.sources.pack import pack
from vggbatch.storage.filesystem import Folder

LABELED = 4
OPTIONS = {"shard_format": "tar", "shard_size": 10**9}


@pytest.fixture
def images(tmp_path):
    files = {f"{i}.jpg": jpeg(i, (8, 8)) for i in range(8)}
    return write(
        tmp_path / "in",
        {"s.tar": tar_bytes({**files, **{f"{i}.cls": b"7" for i in range(LABELED)}})},
    )


def rows(folder, cache=None) -> list[tuple[str, str | None, str | None]]:
    tables = [reader_for(s.format).members(s, cache) for s in discover([str(folder)])]
    found = [row for table in tables for row in table.to_pylist()]
    return [(row["name"], row["label"], row["error"]) for row in found]


def test_zeros_anywhere_in_a_packed_tar_lose_no_image_and_no_label_in_silence(images, tmp_path):
    out = tmp_path / "out"
    list(pack([images], str(out), **OPTIONS))
    (tar,) = out.glob("*.tar")
    whole, expected = tar.read_bytes(), rows(out)
    assert [error for _, _, error in expected] == [None] * 8
    lost = 0
    for length in (1024, 3 * 1024, 11 * 1024):
        for start in range(0, len(whole), 512):
            zeros = b"\0" * min(length, len(whole) - start)
            tar.write_bytes(whole[:start] + zeros + whole[start + length :])
            found = rows(out)
            names = [name for name, _, _ in found]
            errors = [error for _, _, error in found if error]
            if names != [name for name, _, _ in expected]:
                assert len(errors) == 1, (start, length, found)
                assert names[-1] == DAMAGED, (start, length, found)
                lost += "were packed" in errors[0]
            elif not errors:
                texts = [bool(label) for _, label, _ in found]
                assert texts == [bool(label) for _, label, _ in expected], (start, length)
    assert lost > 5


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
@pytest.mark.parametrize("change", [-1, 1])
def test_fewer_or_more_images_than_were_packed_are_an_error_row(
    images, tmp_path, shard_format, change
):
    out = tmp_path / "out"
    list(pack([images], str(out), **OPTIONS | {"shard_format": shard_format}))
    document = json.loads((out / "pack.json").read_text())
    document["shards"][0]["images"] -= change
    (out / "pack.json").write_text(json.dumps(document))
    *good, last = rows(out)
    assert len(good) == 8
    text = f"bad_shard: it has 8 images, and {8 - change} were packed: copy it again, or pack it"
    assert last[0] == DAMAGED
    assert last[2].startswith(text)
    # what packs the set again says it too
    again = tmp_path / "again"
    *_, totals = pack([str(out)], str(again), **OPTIONS)
    assert [line.partition(": ")[2] for line in totals.unread] == [last[2]]


def test_an_index_that_was_kept_before_is_compared_as_well(images, tmp_path):
    out, cache = tmp_path / "out", Folder(str(tmp_path / "cache"))
    list(pack([images], str(out), **OPTIONS))
    document = (out / "pack.json").read_text()
    (out / "pack.json").unlink()
    assert len(rows(out, cache)) == 8
    (out / "pack.json").write_text(document.replace('"images": 8', '"images": 9'))
    assert rows(out, cache)[-1][0] == DAMAGED
    assert rows(out, cache)[-1][0] == DAMAGED


def test_sets_of_earlier_versions_have_no_count_of_labels(images, tmp_path):
    out = tmp_path / "out"
    list(pack([images], str(out), **OPTIONS))
    document = json.loads((out / "pack.json").read_text())
    assert document["shards"][0].pop("labels") == LABELED
    (out / "pack.json").write_text(json.dumps(document))
    (shard,) = discover([str(out)])
    assert shard.packed == Packed(8, None)
    assert len(rows(out)) == 8


@pytest.mark.parametrize("count", [-1, 2**63, 8.5, "eight", None])
def test_a_count_that_none_can_be_is_one_line(images, tmp_path, count):
    out = tmp_path / "out"
    list(pack([images], str(out), **OPTIONS))
    document = json.loads((out / "pack.json").read_text())
    document["shards"][0]["images"] = count
    (out / "pack.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"pack\.json is damaged"):
        discover([str(out)])


def test_what_was_packed_is_recorded_with_the_shards(images, tmp_path):
    out = tmp_path / "out"
    list(pack([images], str(out), **OPTIONS))
    (shard,) = discover([str(out)])
    table = shard_table([(0, 0, shard)])
    ((_, _, back),) = shards_of(as_recorded(table))
    assert back.packed == shard.packed == Packed(8, LABELED)
    ((_, _, old),) = shards_of(as_recorded(table.drop_columns(["packed"])))
    assert old.packed is None


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_names_that_readers_leave_out_are_packed_as_others(tmp_path, shard_format):
    names = [".h.jpg", "__MACOSX/a.jpg", "...jpg", "a/.", "a\0b.jpg", ".x/.y.jpg"]
    stored = [{"bytes": jpeg(number), "path": name} for number, name in enumerate(names)]
    labels = [str(number) for number in range(len(names))]
    pq.write_table(pa.table({"image": stored, "label": labels}), tmp_path / "in.parquet")
    out = tmp_path / "out"
    list(pack([str(tmp_path / "in.parquet")], str(out), **OPTIONS | {"shard_format": shard_format}))
    assert [(label, error) for _, label, error in rows(out)] == [(text, None) for text in labels]


def test_a_labeled_image_is_in_no_shard_with_one_that_would_be_of_its_sample(tmp_path):
    """`x.cls` would label `x.a.jpg` too, which beside a labeled `x.jpg` is no picture."""
    names = ["x.a.jpg", "x.jpg", "x.b.jpg", "i.1.jpg", "i.2.jpg", "y.1.2.jpg", "y.1.jpg"]
    labels = [None, "7", None, "1", "2", None, "3"]
    stored = [{"bytes": jpeg(number), "path": name} for number, name in enumerate(names)]
    pq.write_table(pa.table({"image": stored, "label": labels}), tmp_path / "in.parquet")
    out = tmp_path / "out"
    *_, totals = pack([str(tmp_path / "in.parquet")], str(out), **OPTIONS)
    found = {name: label for name, label, _ in rows(out)}
    assert found == {f"in.parquet/{n}": label for n, label in zip(names, labels, strict=True)}
    assert totals.shards == 4
