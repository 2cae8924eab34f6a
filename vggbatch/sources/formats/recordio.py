"""MXNet RecordIO (.rec), read without MXNet: image records with their label in the header."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from vggbatch.errors import ImageError
from vggbatch.sources.base import DAMAGED, Member, Reader, Shard
from vggbatch.storage.ranges import Data

_MAGIC = struct.pack("<I", 0xCED7230A)
"""dmlc-core, include/dmlc/recordio.h. A writer splits a record wherever its data holds these four
bytes at a multiple of four, so at such a place they always begin a part."""

_PART = struct.Struct("<4sI")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)

_HEADER = struct.Struct("<IfQQ")
"""MXNet, src/io/image_recordio.h: flag (the number of labels after the header, 0 for the one in
it), label, and the image's id in two words."""

_SCAN = 2**20
"""Bytes read at a time when looking for the next record after damage."""


class RecordIOReader(Reader):
    """Images in .rec files. A .idx file is not needed: the records say where they end."""

    format = "recordio"

    def index(self, file: BinaryIO, shard: Shard) -> Iterator[Member]:
        """Yield one member per record, named by its image id; after damage, the next one."""
        end = file.seek(0, os.SEEK_END)
        start = 0
        while start < end:
            try:
                stop, header = _walk_record(file, start, end)
                # Only a wrong length leads to no record and past others.
                if not _begins_record(file, stop, end) and _next_record(file, start + 4, stop):
                    raise ImageError("bad_shard", f"RecordIO length damaged at byte {start}")
                image_id, label = _describe(header)
                yield Member(image_id, start, stop - start, label)
            except ImageError as error:
                following = _next_record(file, start + 4, end)
                if following is None:
                    raise
                yield Member(DAMAGED, 0, 0, error=str(error))
                stop = following
            start = stop

    def payload(self, data: Data) -> bytes:
        """Join the parts of a record and cut off its header and labels."""
        record = _join(data)
        labels = _HEADER.unpack_from(record)[0] if len(record) >= _HEADER.size else 0
        begin = _HEADER.size + 4 * labels
        if len(record) < begin:
            raise ImageError("corrupt", "the record is shorter than its header")
        return bytes(record[begin:])


def _walk_record(file: BinaryIO, start: int, end: int) -> tuple[int, bytes]:
    """Where the record ends, and its image header with one label after it, if it is that long."""
    position = start
    header = b""
    expected = (_WHOLE, _FIRST)
    while True:
        flag, size = _read_part(file, position, end)
        if flag not in expected:
            raise ImageError("bad_shard", f"RecordIO part out of order at byte {position}")
        wanted = _HEADER.size + 4 - len(header)
        if wanted > 0:
            header += file.read(min(size, wanted))
            if flag in (_FIRST, _MIDDLE) and len(header) < _HEADER.size + 4:
                header += _MAGIC
        position += _PART.size + (size + 3) // 4 * 4
        if flag in (_WHOLE, _LAST):
            return min(position, end), header
        expected = (_MIDDLE, _LAST)


def _read_part(file: BinaryIO, position: int, end: int) -> tuple[int, int]:
    file.seek(position)
    raw = file.read(_PART.size)
    if len(raw) < _PART.size:
        raise ImageError("bad_shard", f"RecordIO cut short at byte {end}")
    magic, length = _PART.unpack(raw)
    flag, size = length >> 29, length & (2**29 - 1)
    if magic != _MAGIC or flag > _LAST:
        raise ImageError("bad_shard", f"RecordIO damaged at byte {position}")
    if position + _PART.size + size > end:
        raise ImageError("bad_shard", f"RecordIO damaged or cut short at byte {position}")
    return flag, size


def _describe(header: bytes) -> tuple[str, str | None]:
    """The name and label that an image header gives; a vector of labels is no class."""
    if len(header) < _HEADER.size:
        raise ImageError("bad_shard", "a record is shorter than an image header")
    flag, label, image_id, _ = _HEADER.unpack_from(header)
    if flag == 1 and len(header) >= _HEADER.size + 4:
        (label,) = struct.unpack_from("<f", header, _HEADER.size)
    # The label is a float32 on disk and an integer in meaning.
    text = f"{label:.0f}" if float(label).is_integer() else f"{label}"
    return str(image_id), text if flag <= 1 else None


def _join(data: Data) -> Data:
    pieces: list[Data] = []
    position = 0
    data = memoryview(data)
    while position + _PART.size <= len(data):
        _, length = _PART.unpack_from(data, position)
        size = length & (2**29 - 1)
        position += _PART.size
        pieces.append(data[position : position + size])
        position += (size + 3) // 4 * 4
    return pieces[0] if len(pieces) == 1 else _MAGIC.join(pieces)


def _begins_record(file: BinaryIO, position: int, end: int) -> bool:
    file.seek(position)
    return position == end or file.read(len(_MAGIC)) == _MAGIC


def _next_record(file: BinaryIO, start: int, end: int) -> int | None:
    """Where the next record between two places begins; None if none does."""
    position = (start + 3) // 4 * 4
    while position < end:
        file.seek(position)
        block = file.read(_SCAN + _PART.size)
        found = block.find(_MAGIC)
        while 0 <= found <= len(block) - _PART.size:
            flag = _PART.unpack_from(block, found)[1] >> 29
            if found % 4 == 0 and flag in (_WHOLE, _FIRST):
                return position + found if position + found < end else None
            found = block.find(_MAGIC, found + 1)
        position += _SCAN
    return None
