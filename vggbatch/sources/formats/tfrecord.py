"""TFRecord files of tf.train.Example, read without TensorFlow, their checksums verified."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError

from vggbatch.errors import ImageError
from vggbatch.sources.base import Member, Reader, Shard
from vggbatch.sources.example_proto import example_class
from vggbatch.sources.tfrecord import FOOTER, HEADER, record_length, verified
from vggbatch.storage.ranges import Data

_LARGEST_RECORD = 2**28
"""Bytes of a record: to know its name, all of it is read."""

_IMAGE = ("image/encoded", "image", "image_raw", "image/bytes", "encoded", "jpeg", "jpg", "png")
_NAME = ("image/filename", "file_name", "filename", "image/file_name", "image/id", "image_id")
_SYNSET = ("image/class/synset", "synset", "wnid")
_TEXT = ("image/class/text",)
_LABEL = ("image/class/label", "label", "class_index", "class", "image/label")
"""Features as TF-Slim's build_imagenet_data.py, TFDS and their imitators name them. TF-Slim counts
its labels from 1, so its synset or, where there is none, the name of the class comes first."""


class TFRecordReader(Reader):
    """Images in TFRecord files, one tf.train.Example each."""

    format = "tfrecord"

    def index(self, file: BinaryIO, shard: Shard) -> Iterator[Member]:
        """Yield one member a record, named by its file name feature or its number."""
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        position = 0
        number = 0
        while position < end:
            size = record_length(file.read(HEADER.size), position)
            start = position + HEADER.size
            position = start + size + FOOTER.size
            if position > end:
                raise ImageError("bad_shard", f"TFRecord cut short inside record {number}")
            if size > _LARGEST_RECORD:
                file.seek(position)
                error = ImageError("too_large", f"a record of {size} bytes")
                yield Member(f"{number:08}", start, 0, error=str(error))
            else:
                yield _member(file.read(size + FOOTER.size), number, start)
            number += 1

    def payload(self, data: Data) -> bytes:
        """Verify a record's checksum and take the image out of its Example."""
        image = _find(_features(data), _IMAGE)
        if not isinstance(image, bytes):
            raise ImageError("corrupt", f"no image feature; one of {', '.join(_IMAGE)} is needed")
        return image


def _member(data: bytes, number: int, start: int) -> Member:
    try:
        features = _features(data)
    except ImageError as error:
        return Member(f"{number:08}", start, len(data), error=str(error))
    name = _text(_find(features, _NAME)) or f"{number:08}"
    found = (_text(_find(features, kind)) for kind in (_SYNSET, _TEXT, _LABEL))
    label = next((text for text in found if text), None)
    return Member(name, start, len(data), label)


def _features(data: Data) -> Any:
    """The features of a record, its data followed by their checksum."""
    try:
        return example_class().FromString(verified(data)).features.feature
    except DecodeError:
        raise ImageError("corrupt", "the record is no tf.train.Example") from None


def _find(features: Any, names: tuple[str, ...]) -> bytes | int | float | None:
    """The single value of the first feature there is."""
    for name in names:
        if name in features:
            kind = features[name].WhichOneof("kind")
            values = getattr(features[name], kind).value if kind else []
            if len(values):
                value: bytes | int | float = values[0]
                return value
    return None


def _text(value: bytes | int | float | None) -> str | None:
    if value is None:
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
