"""Types of the arguments that the benchmarks share."""

from __future__ import annotations

import argparse


def at_least_one(text: str) -> int:
    """A number of the command line. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)
