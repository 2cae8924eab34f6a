"""Decoding in a process of its own, for chunks whose worker died: one image can take only itself.

The child is this module run as a program. It reads frames (length, bytes) from its input: first
the settings as JSON, then images; for each image it answers with a frame that begins with `-` and
holds the error's kind and message as JSON, or with `+` and the pictures' heights and widths, of
each geometry and scale, and frames of their pixels follow.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from typing import IO

import numpy as np

from vggbatch import process
from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.errors import ImageError
from vggbatch.preprocess.pictures import PictureMaker
from vggbatch.preprocess.transform import Pixels, pixel_type

SECONDS = 120.0
"""After so long an image counts as one that hangs its decoder."""

_LENGTH = struct.Struct("<Q")


class IsolatedDecoder:
    """Makes pictures in a child process, started anew after an image has killed it.

    Args:
        maker: what to do in it.
        seconds: patience with one image.
    """

    def __init__(self, maker: PictureMaker, *, seconds: float = SECONDS) -> None:
        self.settings = json.dumps(
            {
                "decode": maker.options.model_dump(mode="json"),
                "geometries": [geometry.model_dump() for geometry in maker.geometries],
                "protocol": maker.protocol.model_dump(mode="json"),
            }
        ).encode()
        self.seconds = seconds
        self._types = [pixel_type(geometry) for geometry in maker.geometries]
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> IsolatedDecoder:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def __call__(self, data: bytes) -> list[list[Pixels]]:
        """The pictures of an image, as `PictureMaker` has them.

        Raises:
            ImageError: what is wrong with the image; `crash` if it killed or hung the child.
        """
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        alarm = threading.Timer(self.seconds, child.kill)
        alarm.start()
        try:
            _send(child.stdin, data)
            answer = self._answer(child.stdout)
        except OSError:
            answer = None
        finally:
            late = not alarm.is_alive()
            alarm.cancel()
        if answer is None:
            status = child.wait()
            self._end()
            if late:
                raise ImageError("crash", f"decoding did not end within {self.seconds:.0f} s")
            raise ImageError("crash", f"the decoding process ended with {_describe(status)}")
        if isinstance(answer, ImageError):
            raise answer
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(
            process.python(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=process.environment(),
        )
        assert self._child.stdin is not None
        _send(self._child.stdin, self.settings)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _answer(self, file: IO[bytes]) -> list[list[Pixels]] | ImageError | None:
        """What the child says of an image; None where it ends before all is said."""
        head = _receive(file)
        if head is None:
            return None
        if head[:1] == b"-":
            return ImageError(*json.loads(head[1:]))
        made: list[list[Pixels]] = []
        for sizes, dtype in zip(json.loads(head[1:]), self._types, strict=True):
            made.append([])
            for height, width in sizes:
                data = _receive(file)
                if data is None:
                    return None
                flat: Pixels = np.frombuffer(data, dtype)
                made[-1].append(flat.reshape(height, width, 3))
        return made


def _describe(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _send(file: IO[bytes], data: bytes) -> None:
    file.write(_LENGTH.pack(len(data)))
    file.write(data)
    file.flush()


def _receive(file: IO[bytes]) -> bytes | None:
    """The next frame, None at the end or where it is cut short."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    return data if len(data) == length else None


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    first = _receive(source)
    if first is None:
        return
    settings = json.loads(first)
    make = PictureMaker(
        DecodeOptions.model_validate(settings["decode"]),
        tuple(Preprocess.model_validate(geometry) for geometry in settings["geometries"]),
        Protocol.model_validate(settings["protocol"]),
    )
    while (data := _receive(source)) is not None:
        try:
            made = make(data)
        except ImageError as error:
            _send(sink, b"-" + json.dumps([error.kind, error.message]).encode())
            continue
        sizes = [[picture.shape[:2] for picture in scales] for scales in made]
        _send(sink, b"+" + json.dumps(sizes).encode())
        for picture in (picture for scales in made for picture in scales):
            _send(sink, np.ascontiguousarray(picture).tobytes())


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
