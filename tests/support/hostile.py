"""A data set that brings programs along: each one that is imported leaves its name behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.images import write_folder

MODULES = (
    *("json", "numpy", "yaml", "sitecustomize", "usercustomize", "pickle", "requests", "typing"),
    *("onnx", "PIL", "onnxruntime", "pyarrow", "ray", "fsspec", "pandas", "vggbatch", "scipy"),
    *("jinja2", "sympy", "psutil", "setproctitle", "grpc", "google", "aiohttp", "botocore"),
)
"""Of Python itself, of what is always imported, of what single commands import."""


def data_set(folder: Path, count: int = 3) -> Path:
    """Images beside modules and packages of well-known names; `imported` says which were run."""
    write_folder(folder, count)
    for name in MODULES:
        text = f"open({str(marks(folder))!r}, 'a').write('{name}\\n')\n"
        text += "raise SystemExit('imported from the data set')\n"
        (folder / f"{name}.py").write_text(text)
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(text)
    return folder


def marks(folder: Path) -> Path:
    """The file beside the data set that its programs write to."""
    return folder.with_name(f"{folder.name}.imported")


def imported(folder: Path) -> str:
    """What was imported from the data set; nothing, where all is well."""
    return marks(folder).read_text() if marks(folder).exists() else ""


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """A command of vggbatch, as installed, in the folder of the data set."""
    script = Path(sys.executable).with_name("vggbatch")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(script), *map(str, words)],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
