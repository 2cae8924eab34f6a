"""What the command lines of the benchmarks share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from vggbatch.errors import ImageError, VggbatchError


def at_least_one(text: str) -> int:
    """A number of the command line. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


def run(main: Callable[[], None]) -> None:
    """Call a program; what is wrong with its input becomes one line and status 1."""
    try:
        main()
    except (VggbatchError, ImageError) as error:
        sys.exit(f"error: {error}")
