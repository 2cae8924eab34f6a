import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.samples import jpeg
from tests.support.formats import example
from tests.support.formats import tfrecord as record
from vggbatch.errors import ImageError
from vggbatch.sources.base import DAMAGED, Shard
from vggbatch.sources.formats.tfrecord import TFRecordReader
from vggbatch.sources.tfrecord import masked_crc32c


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit (RFC 3720, appendix B.4: polynomial 0x1EDC6F41, reflected)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def shard_of(tmp_path, data: bytes) -> Shard:
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(data)
    return Shard("tfrecord", str(path), path.name, len(data), "1")


def read(shard: Shard) -> list:
    reader = TFRecordReader()
    members = reader.members(shard)
    data = reader.read(shard, members)
    return list(zip(members["name"].to_pylist(), members["label"].to_pylist(), data, strict=True))


def test_crc32c_check_value():
    assert crc32c(b"123456789") == 0xE3069283
    assert struct.pack("<I", masked_crc32c(b"123456789")) == masked(b"123456789")


def test_tf_slim_and_tfds_and_bare(tmp_path):
    slim = {
        "image/class/label": 2,
        "image/class/synset": b"n01440764",
        "image/encoded": jpeg(1),
        "image/filename": b"ILSVRC2012_val_00000001.JPEG",
        "image/object/bbox/xmin": 0.5,
    }
    tfds = {"file_name": b"a.JPEG", "image": jpeg(2), "label": 300}
    bare = {"image_raw": jpeg(3), "label": 7.0}
    data = b"".join(record(example(features)) for features in (slim, tfds, bare))
    assert read(shard_of(tmp_path, data)) == [
        ("ILSVRC2012_val_00000001.JPEG", "n01440764", jpeg(1)),
        ("a.JPEG", "300", jpeg(2)),
        ("00000002", "7.0", jpeg(3)),
    ]


def test_the_name_of_a_class_goes_before_its_number(tmp_path):
    # TF-Slim's build_image_data.py counts from 1
    own = {"image/class/label": 1, "image/class/text": b"daisy", "image/encoded": jpeg(1)}
    without = {"image/class/label": 1, "image/class/text": b"", "image/encoded": jpeg(2)}
    data = b"".join(record(example(features)) for features in (own, without))
    assert [label for _, label, _ in read(shard_of(tmp_path, data))] == ["daisy", "1"]


def test_no_image_feature(tmp_path):
    ((name, _, error),) = read(shard_of(tmp_path, record(example({"text": b"x"}))))
    assert name == "00000000"
    assert error.kind == "corrupt"
    assert "no image feature" in error.message


def test_wrong_checksum_of_data_costs_one_record(tmp_path):
    data = bytearray(b"".join(record(example({"image": bytes([i]) * 40})) for i in range(3)))
    size = len(data) // 3
    data[size + 30] ^= 1
    rows = read(shard_of(tmp_path, bytes(data)))
    assert [name for name, _, _ in rows] == ["00000000", "00000001", "00000002"]
    assert rows[1][2].message == "the record's checksum is wrong"
    assert rows[2][2] == bytes([2]) * 40


def test_data_changed_after_the_index_is_noticed(tmp_path):
    shard = shard_of(tmp_path, record(example({"image": b"a" * 40})))
    members = TFRecordReader().members(shard)
    with open(shard.uri, "r+b") as file:
        file.seek(40)
        file.write(b"b")
    (error,) = TFRecordReader().read(shard, members)
    assert error.kind == "corrupt"


def test_wrong_length_ends_the_shard(tmp_path):
    data = bytearray(b"".join(record(example({"image": b"x" * 40})) for _ in range(3)))
    data[len(data) // 3] ^= 1
    rows = read(shard_of(tmp_path, bytes(data)))
    assert [name for name, _, _ in rows] == ["00000000", DAMAGED]
    assert "wrong checksum" in rows[1][2].message


def test_every_cut_keeps_the_records_before_it(tmp_path):
    one = record(example({"image": b"x" * 40}))
    whole = one * 3
    for cut in range(len(whole)):
        rows = read(shard_of(tmp_path, whole[:cut]))
        assert [r[2] for r in rows[: cut // len(one)]] == [b"x" * 40] * (cut // len(one))
        assert len(rows) == cut // len(one) + bool(cut % len(one))


def test_compressed(tmp_path):
    (row,) = read(shard_of(tmp_path, b"\x1f\x8b" + bytes(20)))
    assert "compressed" in row[2].message


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_never_gives_wrong_bytes(tmp_path_factory, data):
    raw = bytearray(b"".join(record(example({"image": bytes([i]) * 9})) for i in range(3)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for _, _, item in read(shard_of(tmp_path_factory.mktemp("t"), bytes(raw))):
        assert isinstance(item, ImageError) or item in {bytes([i]) * 9 for i in range(3)}


@given(st.binary(max_size=200))
def test_records_that_are_no_example(tmp_path_factory, payload):
    rows = read(shard_of(tmp_path_factory.mktemp("t"), record(payload)))
    assert len(rows) == 1


@pytest.mark.parametrize("value", [0, 127, 128, 2**40])
def test_labels_of_any_size(tmp_path, value):
    ((_, label, _),) = read(shard_of(tmp_path, record(example({"image": b"x", "label": value}))))
    assert label == str(value)
