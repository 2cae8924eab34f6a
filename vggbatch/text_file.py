"""Text files as people save them: byte order marks, UTF-16, and the line ends of every system."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The longer mark first: UTF-32's little-endian one begins with that of UTF-16."""


def decode(data: bytes, errors: str = "strict") -> str:
    """The text in a file: UTF-8, or what its byte order mark says.

    Args:
        data: the bytes of the file.
        errors: as `bytes.decode` takes it; `surrogateescape` keeps file names of any bytes.

    Raises:
        ValueError: the file is not such text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    # in UTF-16 without a mark every other byte; a single one is a damaged line, and costs its row
    if encoding == "utf-8" and 4 * data.count(0) > len(data):
        raise ValueError("not UTF-8 text: it has NUL bytes; save it as UTF-8")
    try:
        return data.decode(encoding, errors if encoding.startswith("utf-8") else "strict")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text: save it as UTF-8") from None


def unix_lines(text: str) -> str:
    """The text with the line ends of Windows and of old Mac files as newlines."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(text: str) -> list[str]:
    """The lines of a text, without their ends, the empty ones after the last left out.

    Unlike `str.splitlines` this keeps a line whole that holds U+2028, U+0085 or a form feed.
    """
    return unix_lines(text).rstrip("\n").split("\n") if text.strip("\r\n") else []
