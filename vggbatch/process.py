"""Python processes that this program starts: none of them imports from the current folder.

The current folder is often a data set that somebody else has made. `python -m` puts it first on the
path of imports, where a `json.py` beside the images would be run in place of Python's own.
"""

# imported before the current folder is off the path: nothing here that is not loaded already
import os
import sys

_HOME = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
"""The folder that this package is imported from: a checkout, or site-packages."""


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package as a program; start it with `environment`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """The environment of such a process: what this one can import, from wherever, it can too."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(trusted([*given, *sys.path]))
    return os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def trusted(folders: list[str]) -> list[str]:
    """The folders of a path of imports without the current one, unless this package is there.

    Relative ones lie in the current folder, so they go as well.
    """
    here = _here()
    kept: dict[str, None] = {}
    for folder in folders:
        real = os.path.realpath(folder)
        if real == _HOME or (os.path.isabs(folder) and real != here):
            kept[os.path.abspath(folder)] = None
    return list(kept)


def leave_current_folder() -> None:
    """Where this is a command, take the current folder from the path of imports.

    `python -m` puts it first, and an empty entry of PYTHONPATH, as of `$PYTHONPATH:/lib` where that
    was not set, stands for it too. A program that imports this package keeps its path as it is.
    """
    ran = {word.removeprefix("-m").partition(".")[0] for word in sys.orig_argv[1:]}
    by_module = sys.argv[:1] == ["-m"] and __package__ in ran
    by_name = [os.path.basename(word) for word in sys.argv[:1]] == [__package__]
    if by_module or by_name:
        sys.path[:] = [folder for folder in sys.path if trusted([folder]) or not _is_here(folder)]


def _is_here(folder: str) -> bool:
    """Whether an entry of the path of imports is the current folder."""
    return folder in ("", os.curdir) or (
        os.path.isabs(folder) and os.path.realpath(folder) == _here()
    )


def _here() -> str:
    """The current folder; nothing if it was deleted meanwhile."""
    try:
        return os.path.realpath(os.getcwd())
    except FileNotFoundError:
        return ""


def disable_telemetry() -> None:
    """Keep onnxruntime from counting its use, in this process and in those that it starts.

    It would write an identifier below the home folder, and a warning where it cannot.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
