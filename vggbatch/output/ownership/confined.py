"""An output keeps to its folder: nothing below it is a link, and so leads elsewhere.

Outputs come from others too. Were `predictions` a link, a run would write, and delete what it takes
for leftovers, in a folder that is not the output's. The output's own folder may be a link: it is
the user who names it.
"""

from __future__ import annotations

import os
import stat

from vggbatch.errors import UsageError
from vggbatch.output.names import PREDICTIONS, PROFILES, RUN, STATE, SUCCESS
from vggbatch.storage.filesystem import Folder

_WRITTEN = (STATE, PREDICTIONS, PROFILES, "metrics", RUN, SUCCESS, "report.html", "comparison.html")
"""All that commands write into an output."""


def check_confined(folder: Folder) -> None:
    """Make sure that what commands read, write and delete below an output is in it.

    Raises:
        UsageError: a link, or what is neither file nor folder, stands in the place of one.
    """
    if not folder.local:
        return
    waiting = [folder.path(name) for name in _WRITTEN]
    for path in waiting:
        _check(path)
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    _check(entry.path)


def _check(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISLNK(mode):
        raise UsageError(
            f"{path} is a symbolic link, and none is followed inside an output: put what it points "
            "to in its place, or name another output"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"{path} is neither a file nor a folder: it is not a run's, delete it")
