"""How far a job is, in the cell of a notebook that runs it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vggbatch.runs.progress.tracker import ProgressCallback
from vggbatch.text import printable

if TYPE_CHECKING:
    from vggbatch.output.progress import Snapshot

_SECONDS_BETWEEN_UPDATES = 0.25


@contextmanager
def in_cell(on_progress: ProgressCallback | None) -> Iterator[ProgressCallback | None]:
    """The callback of a caller, or in a notebook one that draws a bar in the cell.

    The bar is replaced by one line when the block ends.

    Args:
        on_progress: the caller's.
    """
    if on_progress is not None or not _in_notebook():
        yield on_progress
        return
    bar = _Bar()
    try:
        yield bar
    finally:
        bar.close()


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. IPython is not imported to find out."""
    shell = sys.modules.get("IPython")
    running = getattr(shell, "get_ipython", lambda: None)()
    return getattr(running, "kernel", None) is not None


class _Bar:
    """A bar that is drawn again in its place; called from any thread."""

    def __init__(self) -> None:
        self._display: Any = None
        self._drawn = 0.0
        self._last: Snapshot | None = None
        self._note = ""
        self._lock = threading.Lock()

    def __call__(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._last, self._note = snapshot, snapshot.note or ""
            now = time.monotonic()
            if snapshot.note or now - self._drawn >= _SECONDS_BETWEEN_UPDATES:
                self._drawn = now
                self._draw(done=False)

    def close(self) -> None:
        """Leave what was reached."""
        with self._lock:
            if self._last is not None:
                self._note = ""
                self._draw(done=True)

    def _draw(self, *, done: bool) -> None:
        ipython: Any = import_module("IPython.display")
        assert self._last is not None
        shown = ipython.HTML(_html(self._last, self._note, done=done))
        if self._display is None:
            self._display = ipython.display(shown, display_id=True)
        else:
            self._display.update(shown)


def _html(snapshot: Snapshot, note: str, *, done: bool) -> str:
    about = "" if snapshot.exact else "~"
    words = [f"{snapshot.rows:,} of {about}{snapshot.total:,} images"]
    if snapshot.images_per_second > 0:
        words.append(f"{snapshot.images_per_second:,.1f} images/s")
        left = (snapshot.total - snapshot.rows) / snapshot.images_per_second
        if left >= 1:
            words.append(f"{left:,.0f} s left")
    if snapshot.errors:
        words.append(f"{snapshot.errors:,} error{'s' if snapshot.errors != 1 else ''}")
    text = escape(printable(", ".join(words)))
    more = f"<div>{escape(printable(note))}</div>" if note else ""
    if done:
        return f"<div>{text}</div>{more}"
    most = max(1, snapshot.total)
    bar = f'<progress value="{snapshot.rows}" max="{most}" style="width:20rem"></progress>'
    return f"<div>{bar} {text}</div>{more}"
