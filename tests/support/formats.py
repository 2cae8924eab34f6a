"""Writers of every input format, by hand or by the formats' own libraries, never by vggbatch."""

from __future__ import annotations

import csv
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from tests.sources.samples import tar_bytes

MAGIC = struct.pack("<I", 0xCED7230A)
HF_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def recordio(data: bytes) -> bytes:
    """As dmlc-core's RecordIOWriter::WriteRecord: split at every aligned magic number."""
    out = b""
    begin = 0
    for i in range(0, len(data) // 4 * 4, 4):
        if data[i : i + 4] == MAGIC:
            part = data[begin:i]
            out += MAGIC + struct.pack("<I", (1 if begin == 0 else 2) << 29 | len(part)) + part
            begin = i + 4
    part = data[begin:]
    out += MAGIC + struct.pack("<I", (3 if begin else 0) << 29 | len(part)) + part
    return out + bytes(-len(part) % 4)


def mxnet_pack(image: bytes, image_id: int, label: float | list[float]) -> bytes:
    """As mxnet.recordio.pack."""
    if isinstance(label, list):
        header = struct.pack("<IfQQ", len(label), 0, image_id, 0)
        return header + struct.pack(f"<{len(label)}f", *label) + image
    return struct.pack("<IfQQ", 0, label, image_id, 0) + image


def with_magic(image: bytes) -> bytes:
    """A JPEG with a comment that makes RecordIO split its record (behind a header of 24 bytes)."""
    comment = b"\xff\xfe" + struct.pack(">H", 10) + b"  " + MAGIC + b"  "
    return image[:2] + comment + image[2:]


def tfrecord(data: bytes) -> bytes:
    """A TFRecord: length and data, each followed by its masked CRC-32C."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def example(features: dict[str, bytes | int | float]) -> bytes:
    """tf.train.Example in wire format."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = delimited(1, delimited(1, value))
        elif isinstance(value, float):
            feature = delimited(2, delimited(1, struct.pack("<f", value)))
        else:
            feature = delimited(3, delimited(1, varint(value)))
        entries += delimited(1, delimited(1, name.encode()) + delimited(2, feature))
    return delimited(1, entries)


def varint(value: int) -> bytes:
    """Protobuf's varint."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def delimited(field: int, data: bytes) -> bytes:
    """Protobuf's length-delimited field."""
    return bytes([field << 3 | 2]) + varint(len(data)) + data


def write_all(
    root: Path, images: Sequence[bytes], labels: Sequence[int], wnids: Sequence[str]
) -> dict[str, str]:
    """The same JPEGs once in every format, each in a folder of its own under `root`.

    Args:
        root: an empty folder.
        images: JPEG bytes.
        labels: class index of each image.
        wnids: WordNet id of each class.

    Returns:
        What to name as input, relative to `root`, by format; `number_of` finds the image.
    """
    names = [f"{number:05d}.jpg" for number in range(len(images))]
    inputs = {}
    for kind in ("folder", "csv", "parquet-manifest", "list"):
        for name, image in zip(names, images, strict=True):
            _write(root / kind / "images" / name, image)
        inputs[kind] = f"{kind}/images"
    for name, image, label in zip(names, images, labels, strict=True):
        _write(root / "synsets" / wnids[label] / name, image)
    inputs["synsets"] = "synsets"
    paths = [f"images/{name}" for name in names]
    with (root / "csv/manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *zip(paths, labels, strict=True)])
    inputs["csv"] = "csv/manifest.csv"
    pq.write_table(
        pa.table({"path": paths, "label": list(labels)}), root / "parquet-manifest/m.parquet"
    )
    inputs["parquet-manifest"] = "parquet-manifest/m.parquet"
    (root / "list/list.txt").write_text("".join(f"{path}\n" for path in paths))
    inputs["list"] = "list/list.txt"
    files = {
        "tar/images.tar": tar_bytes(dict(zip(names, images, strict=True))),
        "webdataset/wds-000000.tar": tar_bytes(_samples(names, images, labels)),
        "val/ILSVRC2012_img_val.tar": tar_bytes(
            {f"ILSVRC2012_val_{number:08d}.JPEG": image for number, image in enumerate(images)}
        ),
        "recordio/val.rec": _recordio_file(images, labels),
        "recordio-parts/parts.rec": _recordio_file([with_magic(image) for image in images], labels),
        "tfrecord/validation-00000-of-00001": b"".join(
            tfrecord(
                example(
                    {
                        "image/encoded": image,
                        "image/filename": name.encode(),
                        "image/class/label": label + 1,
                        "image/class/synset": wnids[label].encode(),
                    }
                )
            )
            for name, image, label in zip(names, images, labels, strict=True)
        ),
    }
    for path, data in files.items():
        _write(root / path, data)
        inputs[path.partition("/")[0]] = path
    plain = pa.table({"name": names, "label": list(labels), "image": list(images)})
    rows = [
        {"bytes": image, "path": f"ILSVRC2012_val_{number:08d}_{wnids[label]}.JPEG"}
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    hugging_face = pa.table({"image": pa.array(rows, HF_IMAGE), "label": list(labels)})
    for kind, table in (("parquet", plain), ("hugging-face", hugging_face)):
        (root / kind).mkdir()
        pq.write_table(table, root / kind / f"{kind}.parquet", row_group_size=100)
        inputs[kind] = f"{kind}/{kind}.parquet"
    return inputs


def number_of(image_id: str) -> int:
    """The number of an image, from its id in any of the formats."""
    return int(re.sub(r"_n\d{8}", "", image_id.rpartition("/")[2]).split("_")[-1].split(".")[0])


def _samples(
    names: Sequence[str], images: Sequence[bytes], labels: Sequence[int]
) -> dict[str, bytes]:
    files = {}
    for name, image, label in zip(names, images, labels, strict=True):
        files[name] = image
        files[name.replace(".jpg", ".cls")] = str(label).encode()
    return files


def _recordio_file(images: Sequence[bytes], labels: Sequence[int]) -> bytes:
    return b"".join(
        recordio(mxnet_pack(image, number, float(label)))
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
