"""Open a network and run it on given inputs; the process of its own that `trial` starts.

It is run by its path, not as a module, and imports nothing of the package: it starts in a third of
a second, and whatever a network does in there, the caller lives.
"""

from __future__ import annotations

import sys

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
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    found: dict[str, object] = {}
    try:
        session = onnxruntime.InferenceSession(
            str(given["path"]), options, providers=["CPUExecutionProvider"]
        )
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


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
