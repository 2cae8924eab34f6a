"""Run the example notebook and keep what it prints, without what differs from run to run.

    python -m scripts.run_notebook

Needs nbclient and ipykernel, which the tests have.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples/notebook/vgg.ipynb"
_SECONDS = 600
"""For one cell: making a network's int8 version takes longest."""


def run(folder: Path) -> Any:
    """The notebook with its outputs, run in a folder of its own.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=_SECONDS, kernel_name="python3", resources=resources).execute()
    return notebook


def settled(notebook: Any, folder: Path) -> Any:
    """A notebook to be committed: no times, no folders of this machine, no log lines."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
        for output in cell.outputs:
            output.metadata = {}
            if "text/html" in output.get("data", {}):
                del output.data["text/plain"]
            for kind, content in output.get("data", {}).items():
                if isinstance(content, str) and kind.startswith("text/"):
                    text = content.replace(f"{folder}/", "")
                    output.data[kind] = re.sub(r"(<\w+\.\w+[\w. ]* at) 0x\w+", r"\1 ...", text)
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec}
    return notebook


def main() -> None:
    """Write the notebook with what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        done = settled(run(Path(folder)), Path(folder))
    nbformat.write(done, NOTEBOOK)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
