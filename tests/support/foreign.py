"""Documents of outputs with one value replaced, and what every command makes of such an output."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vggbatch import cli
from vggbatch.errors import VggbatchError
from vggbatch.output.verify import declaration

GONE = object()
"""In place of a value: the key is not there."""
DEEP = "[" * 3000 + "]" * 3000
STRANGE: tuple[Any, ...] = (
    GONE,
    None,
    True,
    -1,
    0,
    7,
    2**31,
    2**70,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../x",
    "/etc/passwd",
    "\x1b[2J\u202e",
    "\ud800",
    [],
    [1],
    ["x"],
    [[]],
    [{}],
    {},
    {"x": 1},
    {"": None},
    {"../x": []},
    json.loads("[" * 300 + "]" * 300),
)
"""Values that some place of a document cannot have."""

Path_ = tuple[Any, ...]


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Where values are in a document, at most two of each list."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:2]):
            yield from places(inner, (*at, number))


def replaced(value: Any, at: Path_, new: Any) -> Any:
    """A copy of a document with another value at a place."""
    if not at:
        return None if new is GONE else new
    first, *rest = at
    copy = value.copy()
    if new is GONE and not rest:
        del copy[first]
    else:
        copy[first] = replaced(value[first], tuple(rest), new)
    return copy


def vouch(out: Path) -> None:
    """Write a _SUCCESS for run.json as it is, as the author of such an output does."""
    record = json.loads((out / "run.json").read_text())
    with contextlib.suppress(KeyError, AttributeError, TypeError, ValueError):
        (out / "_SUCCESS").write_text(json.dumps(declaration(record)))


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ends(command: Callable[[], object]) -> str | None:
    """The line with which a command ends; None: it gives something. Anything else is raised."""
    try:
        command()
    except VggbatchError as error:
        return str(error)
    return None


def shown(*words: str) -> str:
    """What a command of the command line shows, executed in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        cli.app(list(words), standalone_mode=False)
    return out.getvalue()


def copied(made: Path, place: Path) -> Path:
    """A copy of an output beside a file that is none of it."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(made, place / "out")
    (place / "mine.txt").write_text("mine")
    return place / "out"
