"""Images that a thread may not decode go to processes that can be ended, few large ones at a time.

A process has as many of them as its threads need at once, and keeps them. First an image gets a
little memory, which does for all but the large ones. Those wait for a place (see places.py).
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from vggbatch.config import DecodeOptions
from vggbatch.errors import ImageError
from vggbatch.preprocess.isolated import IsolatedDecoder
from vggbatch.preprocess.places import SMALL_MB, place, places_here
from vggbatch.preprocess.transform import Pixels

if TYPE_CHECKING:
    from vggbatch.preprocess.image_buffer import ImageResizer

Result = TypeVar("Result")

_idle: list[IsolatedDecoder] = []
_lock = threading.Lock()


@atexit.register
def _close() -> None:
    while _idle:
        _idle.pop().close()


def guarded_pictures(data: bytes, maker: ImageResizer) -> list[list[Pixels]]:
    """The pictures of an image, decoded elsewhere. Raises as `IsolatedDecoder.pictures`."""
    return _guarded(lambda child, memory: child.pictures(data, maker, memory), maker.options)


def guarded_image(data: bytes, options: DecodeOptions, side: int | None) -> Image.Image:
    """An image, decoded elsewhere. Raises as `IsolatedDecoder.image`."""
    return _guarded(lambda child, memory: child.image(data, options, side, memory), options)


def _guarded(decode: Callable[[IsolatedDecoder, int], Result], options: DecodeOptions) -> Result:
    with _child() as child:
        places = places_here(options.max_memory_mb)
        if places.memory_mb > SMALL_MB:
            with contextlib.suppress(_TooLarge):
                return _small(decode, child)
        with place(places):
            return decode(child, places.memory_mb)


class _TooLarge(Exception):
    """It may need more memory than a small image."""


def _small(decode: Callable[[IsolatedDecoder, int], Result], child: IsolatedDecoder) -> Result:
    try:
        return decode(child, SMALL_MB)
    except ImageError as error:
        # what is too large for a little memory, or killed the process in the attempt
        if error.kind not in ("too_large", "crash"):
            raise
        raise _TooLarge from None


@contextlib.contextmanager
def _child() -> Iterator[IsolatedDecoder]:
    """A decoding process for one image, kept for the next."""
    with _lock:
        child = _idle.pop() if _idle else IsolatedDecoder()
    try:
        yield child
    except BaseException as error:
        # an answer may be left in the pipe of one that was interrupted
        if not isinstance(error, ImageError):
            child.close()
        raise
    finally:
        with _lock:
            _idle.append(child)
