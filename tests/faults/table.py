"""The table of what faults led to, from logs of the harness.

    python -m tests.faults.table LOG ...

Each cell has the number of faults of an action and what they led to: c the command completed, n the
repeated one did, r it refused in one line and --overwrite completed, u the fault did not come (the
run had fewer operations), W wrong. Where a log has a fault more than once, the last one counts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LETTERS = {"completed": "c", "continued": "n", "refused": "r", "unharmed": "u", "WRONG": "W"}
_ROW = ("store", "command", "action")


def table(faults: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of Markdown for faults, which are lines of logs."""
    last = {tuple(fault[key] for key in (*_ROW, "at")): fault for fault in faults}
    counts: dict[tuple[str, ...], int] = {}
    rows: dict[tuple[str, ...], Counter[str]] = {}
    for fault in last.values():
        row = tuple(fault[key] for key in _ROW)
        counts[row] = max(counts.get(row, 0), fault["count"])
        letter = LETTERS[fault["kind"].split(":")[0]]
        rows.setdefault(row, Counter())[letter] += 1
    lines = ["| store | command | operations | action | tries | outcomes |", "|" + " --- |" * 6]
    for row, outcomes in rows.items():
        store, command, action = row
        shown = " ".join(f"{outcomes[letter]}{letter}" for letter in "cnruW" if outcomes[letter])
        total = outcomes.total()
        lines.append(f"| {store} | {command} | {counts[row]} | {action} | {total} | {shown} |")
    return lines


def main() -> None:
    """Print the table of the logs that are named."""
    parser = argparse.ArgumentParser(description="Print what faults led to.")
    parser.add_argument("log", nargs="+", type=Path)
    logs = parser.parse_args().log
    try:
        lines = [line for log in logs for line in log.read_text().splitlines()]
        print("\n".join(table(json.loads(line) for line in lines)))
    except OSError as error:
        sys.exit(f"error: {error}")
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"error: these are not all logs of the harness: {error!r}")


if __name__ == "__main__":
    main()
