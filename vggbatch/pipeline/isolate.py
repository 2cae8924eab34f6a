"""Decoding in a process of its own, for chunks whose worker died: one image can take only itself.

The child is this module run as a program. It reads frames (length, bytes) from its input: first
the settings as JSON, then images; for each image it answers with a frame that begins with `+` and
holds the crop, or with `-` and the error's kind and message as JSON.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from vggbatch.config import DecodeOptions, Preprocess
from vggbatch.errors import ImageError
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.transform import center_crop

SECONDS = 120.0
"""After so long an image counts as one that hangs its decoder."""

_LENGTH = struct.Struct("<Q")


class IsolatedDecoder:
    """Decodes and crops in a child process, started anew after an image has killed it.

    Args:
        options: how to decode.
        preprocess: how to crop.
        seconds: patience with one image.
    """

    def __init__(
        self, options: DecodeOptions, preprocess: Preprocess, *, seconds: float = SECONDS
    ) -> None:
        self.settings = json.dumps(
            {"decode": options.model_dump(mode="json"), "preprocess": preprocess.model_dump()}
        ).encode()
        self.side = preprocess.crop
        self.seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> IsolatedDecoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def __call__(self, data: bytes) -> npt.NDArray[np.uint8]:
        """The crop of an image, (crop, crop, 3).

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
            answer = _receive(child.stdout)
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
        if answer[:1] == b"-":
            raise ImageError(*json.loads(answer[1:]))
        return np.frombuffer(answer, np.uint8, offset=1).reshape(self.side, self.side, 3)

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._child.stdin is not None
        _send(self._child.stdin, self.settings)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


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
    options = DecodeOptions.model_validate(settings["decode"])
    preprocess = Preprocess.model_validate(settings["preprocess"])
    while (data := _receive(source)) is not None:
        try:
            crop = center_crop(decode_image(data, options, preprocess.resize), preprocess)
            _send(sink, b"+" + np.ascontiguousarray(crop).tobytes())
        except ImageError as error:
            _send(sink, b"-" + json.dumps([error.kind, error.message]).encode())


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
