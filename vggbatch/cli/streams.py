"""Standard streams that cannot end a command: closed ones, readers that leave, odd encodings.

A job is done when its output is; that nobody reads its summary is no reason to fail.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO, cast

from vggbatch.errors import VggbatchError


def prepare() -> None:
    """Make the streams fit to be written to; to be called before anything else is opened.

    A closed one is opened on /dev/null, for else the next file that is opened would get its
    number, and be written to by whatever prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            mode = os.O_RDONLY if number == 0 else os.O_WRONLY
            os.dup2(os.open(os.devnull, mode), number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:  # and no object of a test or of a notebook
            setattr(sys, name, _forgiving(stream))


def finish() -> None:
    """Write what is still in the buffer. Raises VggbatchError where that is not possible."""
    sys.stdout.flush()


def use_utf8() -> None:
    """Start this process again in Python's UTF-8 mode, where its locale has another encoding.

    File names are bytes. What a locale of Latin-1 or ASCII makes of them would become image ids
    that are not the files' names.
    """
    if sys.getfilesystemencoding().lower().replace("-", "") == "utf8":
        return
    os.environ["PYTHONUTF8"] = "1"  # for the processes that this one starts, too
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def has_current_folder() -> bool:
    """Whether the folder that relative paths begin in still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


class _Forgiving(io.TextIOWrapper):
    """Takes what nobody reads any more, and characters that the encoding lacks."""

    replaced: TextIO
    """Closes the buffer that both share when it is collected."""

    def write(self, text: str) -> int:
        """Write text. Raises VggbatchError, but not where the reader has left."""
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush. Raises VggbatchError, but not where the reader has left."""
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise VggbatchError(f"cannot write to {self.name}: {error.strerror}") from None


def _forgiving(stream: io.TextIOWrapper) -> TextIO:
    found = _Forgiving(
        cast(io.BufferedWriter, stream.buffer),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )
    found.replaced = stream
    return found
