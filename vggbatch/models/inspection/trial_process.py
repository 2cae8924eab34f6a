"""Open a network and run it on given inputs; the process of its own that `trial` starts.

It is run by its path, not as a module, and takes nothing of the package but the file that opens
networks: it starts in a third of a second, and whatever a network does in there, the caller lives.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

LARGEST_ROW = 2**20
"""Values of an output; of a larger one, a map or a mask, only the shape is given."""


def main(job: str, answer: str) -> None:
    """Run the job and write what it gave.

    Args:
        job: .npz with `path`, `input`, `outputs` (names) and the batches `batch0`, `batch1` ...
        answer: .npz to write: `failure`, or for each batch and output `BATCH.OUTPUT` numbers.
    """
    given = np.load(job)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    found: dict[str, object] = {}
    try:
        session = _exact_int8().open_exactly(str(given["path"]), options, checked=True)
        names = [str(name) for name in given["outputs"]]
        known = {output.name for output in session.get_outputs()}
        asked = [name for name in names if name in known]
        for number in range(int(given["batches"])):
            values = session.run(asked, {str(given["input"]): given[f"batch{number}"]})
            for name, value in zip(asked, values, strict=True):
                key = f"{number}.{names.index(name)}"
                found[f"{key}.shape"] = np.array(value.shape, np.int64)
                if value.size <= LARGEST_ROW:
                    found[key] = value
    except Exception as error:
        found = {"failure": np.array(" ".join(str(error).split()))}
    np.savez(answer, **found)  # type: ignore[arg-type]


def _exact_int8() -> Any:
    """The package's module of this name, without the package."""
    path = Path(__file__).parents[2] / "exact_int8.py"
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
