"""Run a network on a few made pictures before anything depends on what it is thought to be."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbatch import process
from vggbatch.models.graphs.runtime import reason

PICTURES = 4
TIMEOUT_S = 300.0
"""For opening a network and running it four times; VGG-19 takes 3 s (measured)."""
_CHILD = Path(__file__).with_name("trial_process.py")

Rows = NDArray[np.float64]


class TrialFailed(Exception):
    """The network cannot be opened or run; the message says why, in onnxruntime's words."""


def run_trial(
    graph: Path,
    *,
    input: str,
    values: NDArray[Any],
    outputs: Sequence[str],
    batch: int,
) -> dict[str, Rows | None]:
    """Run a network on pictures, in a process of its own.

    Args:
        graph: ONNX file, its external weights beside it.
        input: its image input.
        values: the pictures as it takes them, of its type.
        outputs: those to look at.
        batch: images in one run; the last run is filled up with the last picture.

    Returns:
        Output -> its rows, one per picture; None where it has no row per picture. Outputs that
        the file does not give are left out.

    Raises:
        TrialFailed: it cannot be opened or run.
    """
    count = len(values)
    padded = np.concatenate([values, np.repeat(values[-1:], -count % batch, axis=0)])
    batches = np.split(padded, len(padded) // batch)
    with tempfile.TemporaryDirectory(prefix="vggbatch-trial-") as folder:
        job, answer = os.path.join(folder, "job.npz"), os.path.join(folder, "answer.npz")
        given: dict[str, Any] = {f"batch{n}": part for n, part in enumerate(batches)}
        given |= {"path": str(graph), "input": input, "batches": len(batches)}
        np.savez(job, outputs=np.array(list(outputs)), **given)
        _run_child(job, answer)
        found = np.load(answer)
        if "failure" in found:
            raise TrialFailed(reason(str(found["failure"])))
        return {
            name: _rows(found, number, len(batches), batch, count)
            for number, name in enumerate(outputs)
            if f"0.{number}.shape" in found
        }


def _run_child(job: str, answer: str) -> None:
    command = [sys.executable, "-P", str(_CHILD), job, answer]
    try:
        done = subprocess.run(
            command,
            env=process.environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise TrialFailed(
            f"it is not done with {PICTURES} pictures after {TIMEOUT_S:.0f} s; does it loop?"
        ) from None
    if done.returncode < 0:
        raise TrialFailed(
            f"onnxruntime ends with signal {-done.returncode} on it; is there enough memory?"
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise TrialFailed(lines[-1])


def _rows(found: Any, number: int, batches: int, batch: int, count: int) -> Rows | None:
    parts = []
    for index in range(batches):
        key = f"{index}.{number}"
        shape = found[f"{key}.shape"]
        # of a single image the batch may be squeezed away
        if key not in found or (batch > 1 and (not len(shape) or shape[0] != batch)):
            return None
        parts.append(found[key].astype(np.float64).reshape(batch, -1))
    if len({part.shape[1] for part in parts}) > 1:
        return None
    return np.concatenate(parts)[:count]
