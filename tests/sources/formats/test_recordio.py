import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.samples import jpeg
from tests.support.formats import MAGIC
from tests.support.formats import mxnet_pack as pack
from tests.support.formats import recordio as write_record
from vggbatch.errors import ImageError
from vggbatch.sources.base import DAMAGED, Shard
from vggbatch.sources.formats.recordio import RecordIOReader


def shard_of(tmp_path, data: bytes) -> Shard:
    path = tmp_path / "a.rec"
    path.write_bytes(data)
    return Shard("recordio", str(path), "a.rec", len(data), "1")


def read(shard: Shard) -> list:
    reader = RecordIOReader()
    members = reader.members(shard)
    data = reader.read(shard, members)
    rows = zip(members["name"].to_pylist(), members["label"].to_pylist(), data, strict=True)
    return list(rows)


def test_images_ids_and_labels(tmp_path):
    records = [
        pack(jpeg(1), 7, 3.0),
        pack(jpeg(2), 8, [5.0]),
        pack(jpeg(3), 9, [1.0, 2.0]),
    ]
    shard = shard_of(tmp_path, b"".join(map(write_record, records)))
    assert read(shard) == [("7", "3", jpeg(1)), ("8", "5", jpeg(2)), ("9", None, jpeg(3))]


@pytest.mark.parametrize(
    "image",
    [
        MAGIC,
        MAGIC * 3,
        b"1234" + MAGIC + b"12345",
        b"x" + MAGIC + b"yzw" + MAGIC,
        MAGIC + b"abc" + MAGIC + b"d" + MAGIC,
    ],
)
def test_multi_part_records(tmp_path, image):
    data = write_record(pack(image, 1, 0)) + write_record(pack(b"next", 2, 1))
    assert read(shard_of(tmp_path, data)) == [("1", "0", image), ("2", "1", b"next")]


def test_a_magic_number_inside_the_header(tmp_path):
    image_id = int.from_bytes(MAGIC, "little")
    data = write_record(pack(b"image", image_id, 4))
    assert read(shard_of(tmp_path, data)) == [(str(image_id), "4", b"image")]


@given(
    st.lists(
        st.lists(st.sampled_from([MAGIC, b"a", b"bc", b"1234"]), max_size=8).map(b"".join),
        min_size=1,
        max_size=4,
    )
)
def test_round_trip(tmp_path_factory, images):
    data = b"".join(write_record(pack(image, i, i)) for i, image in enumerate(images))
    rows = read(shard_of(tmp_path_factory.mktemp("r"), data))
    assert rows == [(str(i), str(i), image) for i, image in enumerate(images)]


def test_every_cut_keeps_the_records_before_it(tmp_path):
    records = [write_record(pack(bytes([i]) * 50, i, i)) for i in range(3)]
    whole = b"".join(records)
    for cut in range(1, len(whole) - 2):
        rows = read(shard_of(tmp_path, whole[:cut]))
        # Two bytes of padding end each record.
        kept = (cut + 2) // len(records[0])
        assert [name for name, _, _ in rows[:kept]] == [str(i) for i in range(kept)]
        if cut % len(records[0]) not in (0, len(records[0]) - 1, len(records[0]) - 2):
            assert rows[-1][0] == DAMAGED
            assert rows[-1][2].kind == "bad_shard"


@pytest.mark.parametrize("place", [0, 4, 5, 6, 7])
def test_reading_goes_on_after_damage(tmp_path, place):
    records = [write_record(pack(bytes([i]) * 50, i, i)) for i in range(4)]
    damaged = bytearray(records[1])
    damaged[place] ^= 0x40
    shard = shard_of(tmp_path, records[0] + bytes(damaged) + b"".join(records[2:]))
    names = [name for name, _, _ in read(shard)]
    assert names == ["0", DAMAGED, "2", "3"]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_bytes_give_rows_or_errors(tmp_path_factory, data):
    raw = bytearray(b"".join(write_record(pack(b"x" * 20 + MAGIC, i, i)) for i in range(4)))
    for _ in range(data.draw(st.integers(0, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    for _, _, item in read(shard_of(tmp_path_factory.mktemp("r"), bytes(raw))):
        assert isinstance(item, bytes | ImageError)
