"""A line for commands that take long to say anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vggbatch.cli import console

_SECONDS = 2.0
"""Without a word, after which one is said."""
_LOOK = 0.1

WORDS = {
    "score": "checking the input, preparing the network",
    "evaluate": "checking the input, preparing the network",
    "plan": "checking the input and the network",
    "predict": "preparing the network",
    "merge": "comparing and joining the outputs",
    "forget": "looking for the images",
    "status": "reading the output",
    "rescore": "reading the predictions",
    "compare": "reading the predictions",
    "report": "reading the predictions and their images",
    "pack": "listing the input",
    "bench": "reading the input, preparing the networks",
    "doctor": "looking at this machine and the stores",
}
"""What a command does while it says nothing, by its name."""


@contextmanager
def explained(command: str | None) -> Iterator[None]:
    """Say what a command does whenever it has said nothing for two seconds, for the block.

    It is said once until something else is said. Where progress is not wanted, or a bar is drawn,
    nothing is.

    Args:
        command: its name.
    """
    words = WORDS.get(command or "")
    if words is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(words, ended), name="silence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(words: str, ended: threading.Event) -> None:
    began, said = time.monotonic(), None
    while not ended.wait(_LOOK):
        last = max(began, console.last_printed())
        if last != said and time.monotonic() - last >= _SECONDS:
            console.taking_long(words)
            said = max(began, console.last_printed())
