"""The framing of records in a TFRecord file: length, its checksum, data, their checksum."""

from __future__ import annotations

import struct

import google_crc32c

from vggbatch.errors import ImageError
from vggbatch.storage.ranges import Data

HEADER = struct.Struct("<QI")
"""What is before a record: its length and the checksum of that."""
FOOTER = struct.Struct("<I")
"""What is after a record: its checksum."""
_GZIP = b"\x1f\x8b"


def record_length(header: bytes, position: int) -> int:
    """The length of a record, by the header at a position of its file.

    Raises:
        ImageError: the header is cut short or damaged, or the file is compressed.
    """
    if header[:2] == _GZIP and position == 0:
        raise ImageError("bad_shard", "a compressed TFRecord cannot be read in place")
    if len(header) < HEADER.size:
        raise ImageError("bad_shard", f"TFRecord cut short at byte {position + len(header)}")
    length, checksum = HEADER.unpack(header)
    if masked_crc32c(header[:8]) != checksum:
        raise ImageError("bad_shard", f"TFRecord damaged at byte {position}: wrong checksum")
    return int(length)


def verified(data: Data) -> bytes:
    """A record without the checksum that follows it. Raises ImageError where that is wrong."""
    record = bytes(data[: -FOOTER.size])
    if masked_crc32c(record) != FOOTER.unpack(data[-FOOTER.size :])[0]:
        raise ImageError("corrupt", "the record's checksum is wrong")
    return record


def masked_crc32c(data: bytes) -> int:
    """The checksum of a TFRecord (tensorflow/core/lib/hash/crc32c.h, Mask)."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
