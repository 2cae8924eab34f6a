"""Decoding in a process of its own, which can be ended: one image can take only itself.

For images whose header promises more work than a thread may be given (see effort.py), and for
chunks whose worker died. The process is this module run as a program. It reads pairs of frames
(length, bytes): what is wanted as JSON, then an image. It answers with a frame that begins with `-`
and holds the error's kind and message as JSON, or with `+` and the pictures' type, heights and
widths, of each resize_spec and scale, and frames of their pixels follow.

Time is counted in seconds of CPU, so that what is decoded does not depend on what else a machine
does. Memory is bounded by what the process may map.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import struct
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.errors import ImageError
from vggbatch.preprocess.transform import Pixels
from vggbatch.process import environment, python

if TYPE_CHECKING:
    from vggbatch.preprocess.image_buffer import ImageResizer

_WAIT_SECONDS = 120.0
"""A process that neither answers nor uses its CPU time for so long is stuck."""
_FEWEST_SECONDS = 3.0
_FEWEST_SECONDS_BITMAP = 1.0
"""Of a BMP: its runs are decoded in Python, and a kilobyte of them may stand for 20 s of work."""
_SECONDS_A_MEGABYTE = 0.6
"""CPU time grows with an image's bytes, up to `decode.timeout_s`. Images of 179 million pixels, the
most there may be, take 1.4 s as a JPEG of 21 MB, 3.4 s as a progressive one, 6.7 s as a PNG of
250 MB and 16.8 s as a JPEG 2000 of 25 MB (measured)."""

_LENGTH = struct.Struct("<Q")


def seconds_for(size: int, options: DecodeOptions, *, bitmap: bool = False) -> float:
    """CPU time that decoding an image of so many bytes may take; `bitmap`: a BMP."""
    fewest = _FEWEST_SECONDS_BITMAP if bitmap else _FEWEST_SECONDS
    return min(options.timeout_s, fewest + _SECONDS_A_MEGABYTE * size / 1e6)


class IsolatedDecoder:
    """Decodes in a child process, which is started again after an image has ended it.

    Args:
        maker: what `__call__` makes of images.
        seconds: how long an answer is waited for.
    """

    def __init__(
        self, maker: ImageResizer | None = None, *, seconds: float = _WAIT_SECONDS
    ) -> None:
        self.maker = maker
        self.seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> IsolatedDecoder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __call__(self, data: bytes) -> list[list[Pixels]]:
        """The pictures of an image, as `ImageResizer` has them. Raises as `pictures`."""
        assert self.maker is not None
        return self.pictures(data, self.maker, self.maker.options.max_memory_mb)

    def pictures(self, data: bytes, maker: ImageResizer, memory_mb: int) -> list[list[Pixels]]:
        """The pictures of an image.

        Args:
            data: the file's bytes.
            maker: what to make of them.
            memory_mb: that decoding may take, beside the bytes themselves.

        Raises:
            ImageError: what is wrong with the image; `timeout` if it took too long, `crash` if it
                killed the child.
        """
        wanted = {
            "resize_specs": [resize_spec.model_dump() for resize_spec in maker.resize_specs],
            "protocol": maker.protocol.model_dump(mode="json"),
        }
        return self._ask(data, maker.options, memory_mb, wanted)

    def image(
        self, data: bytes, options: DecodeOptions, side: int | None, memory_mb: int
    ) -> Image.Image:
        """The whole image, as `decode_image` has it; arguments and errors as in `pictures`."""
        [[pixels]] = self._ask(data, options, memory_mb, {"side": side})
        return Image.fromarray(pixels)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _ask(
        self, data: bytes, options: DecodeOptions, memory_mb: int, wanted: dict[str, Any]
    ) -> list[list[Pixels]]:
        seconds = seconds_for(len(data), options, bitmap=data.startswith(b"BM"))
        wanted |= {"decode": options.model_dump(mode="json")}
        wanted |= {"seconds": seconds, "memory": (memory_mb << 20) + 2 * len(data)}
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        alarm = threading.Timer(self.seconds, child.kill)
        alarm.start()
        try:
            _send(child.stdin, json.dumps(wanted).encode())
            _send(child.stdin, data)
            answer = _answer(child.stdout)
        except OSError:
            answer = None
        finally:
            late = not alarm.is_alive()
            alarm.cancel()
        if answer is None:
            status = child.wait()
            self.close()
            if late:
                raise ImageError("timeout", f"decoding did not end within {self.seconds:.0f} s")
            if status == -signal.SIGPROF:
                raise ImageError("timeout", f"decoding took more than {seconds:.0f} s of CPU time")
            raise ImageError("crash", f"the decoding process ended with {_describe(status)}")
        if isinstance(answer, ImageError):
            raise answer
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        # one thread: those of a linear algebra library map much memory and are not needed
        self._child = subprocess.Popen(
            python(__name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment() | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        return self._child


def _describe(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _send(file: IO[bytes], data: bytes | memoryview) -> None:
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


def _answer(file: IO[bytes]) -> list[list[Pixels]] | ImageError | None:
    """What the child says of an image; None where it ends before all is said."""
    head = _receive(file)
    if head is None:
        return None
    if head[:1] == b"-":
        return ImageError(*json.loads(head[1:]))
    made: list[list[Pixels]] = []
    for dtype, sizes in json.loads(head[1:]):
        made.append([])
        for height, width in sizes:
            data = _receive(file)
            if data is None:
                return None
            flat: Pixels = np.frombuffer(data, dtype)
            made[-1].append(flat.reshape(height, width, 3))
    return made


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """The child: decodes until its parent is gone."""
    _end_me_first()
    mapped = _mapped()
    while (head := _receive(source)) is not None:
        wanted = json.loads(head)
        resource.setrlimit(resource.RLIMIT_AS, (mapped + wanted["memory"], resource.RLIM_INFINITY))
        data = _receive(source)
        if data is None:
            return
        # the signal's default action ends the process, also inside a decoder that is written in C
        signal.setitimer(signal.ITIMER_PROF, wanted["seconds"])
        try:
            made = _made(data, wanted)
        except ImageError as error:
            signal.setitimer(signal.ITIMER_PROF, 0)
            _send(sink, b"-" + json.dumps([error.kind, error.message]).encode())
            continue
        signal.setitimer(signal.ITIMER_PROF, 0)
        sizes = [
            (scales[0].dtype.name, [picture.shape[:2] for picture in scales]) for scales in made
        ]
        _send(sink, b"+" + json.dumps(sizes).encode())
        for picture in (picture for scales in made for picture in scales):
            _send(sink, np.ascontiguousarray(picture).data.cast("B"))
        del made, data


def _made(data: bytes, wanted: dict[str, Any]) -> list[list[Pixels]]:
    from vggbatch.preprocess.decode import decode_here
    from vggbatch.preprocess.image_buffer import ImageResizer

    options = DecodeOptions.model_validate(wanted["decode"])
    try:
        if "resize_specs" not in wanted:
            return [[np.asarray(decode_here(data, options, wanted["side"]))]]
        maker = ImageResizer(
            options,
            tuple(Preprocess.model_validate(resize_spec) for resize_spec in wanted["resize_specs"]),
            Protocol.model_validate(wanted["protocol"]),
        )
        return maker.make_here(data)
    except MemoryError:
        raise ImageError("too_large", "not enough memory (decode.max_memory_mb)") from None


def _end_me_first() -> None:
    """Let the kernel end this process, and not a classifier, where memory runs out."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _mapped() -> int:
    """Bytes of address space that this process has before it decodes anything."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**30


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
