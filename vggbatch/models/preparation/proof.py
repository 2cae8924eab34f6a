"""The proof that a prepared file computes what the original does, picture by picture.

The original runs in batches of its own size, the prepared file in those of a run, on pictures that
differ: row i must be of picture i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from vggbatch.models.graphs.graph import OutputKind
from vggbatch.models.graphs.runtime import open_network
from vggbatch.models.preparation.forms import Form

TOLERANCE = 1e-4
"""Of the largest score: far above fp32 rounding, far below any mistake."""
_HALF_TOLERANCE = 1e-2
"""The same for networks in float16, which has 11 bits: MobileNetV3-small differs by 1.6e-3 where
the normalization rounds a few pixels up that were rounded down."""
_ROUNDING = 1e-2
"""Of what is tolerated: nearer than that, two pictures have the same scores."""

Rows = NDArray[np.float64]


class NotProved(Exception):
    """The file does not compute what the original does; the message says how that shows."""


class CannotOpen(NotProved):
    """onnxruntime cannot open the file that it wrote."""


@dataclass(frozen=True)
class Expected:
    """What the original gives."""

    rows: Rows
    """(pictures, scores)"""
    tolerance: float = TOLERANCE
    """How far from these scores a file's may be, as a share of the largest."""


@dataclass(frozen=True)
class Proof:
    """How a file was proved."""

    batch: int | None
    """Images in a run; None for any number."""
    difference: float | None
    """Largest difference from the original's scores; None where onnxruntime cannot run that."""
    widths: tuple[int, ...]
    """Values per image of each output."""


def expected_scores(
    original: Path,
    *,
    input: str,
    scores: str | None,
    binary: OutputKind | None,
    values: NDArray[Any],
    batch: int | None,
    half: bool = False,
) -> Expected:
    """Run the original on pictures, in batches of its own size; `half`: it is in float16."""
    session = open_network(original, checked=True)
    known = [output.name for output in session.get_outputs()]
    if scores is not None and scores not in known:
        session = _opened_with_output(original, scores)
    name = scores or known[0]
    (rows,) = _run(session, [name], input, values, batch or 1)
    if binary is not None:
        other = 1 - rows if binary == "probabilities" else np.zeros_like(rows)
        rows = np.concatenate([other, rows], axis=1)
    return Expected(rows, _HALF_TOLERANCE if half else TOLERANCE)


def prove(
    path: Path,
    input: str,
    values: NDArray[Any],
    expected: Expected | None,
    form: Form,
    *,
    optimized: bool,
) -> Proof:
    """Compare a prepared file with the original on pictures, in the best batch that holds.

    Args:
        path: the prepared file.
        input: its image input.
        values: the pictures as it takes them.
        expected: what the original gives; None where onnxruntime cannot run it. Then the file
            itself, picture by picture, is what a batch must agree with.
        form: says which batches may be.
        optimized: whether the file is to be opened as it is.

    Raises:
        NotProved: in none of them.
    """
    try:
        session = open_network(path, optimize=not optimized, checked=True)
    except Exception as error:
        raise CannotOpen(f"cannot be opened: {error}") from None
    failure = NotProved("no batch fits")
    names = [output.name for output in session.get_outputs()]
    for batch in form.batches:
        try:
            rows = _run(session, names, input, values, batch or len(values))
            others = _others(session, names, input, values, batch)
        except Exception as error:
            failure = NotProved(f"cannot run in batches of {batch or len(values)}: {error}")
            continue
        wanted = expected.rows if expected is not None else others[0]
        tolerance = expected.tolerance if expected is not None else TOLERANCE
        pairs = [(wanted, rows[0]), *zip(others, rows, strict=True)]
        found = next(filter(None, (_fault(a, b, tolerance) for a, b in pairs)), None)
        if found is None:
            largest = _largest_difference(wanted, rows[0]) if expected is not None else None
            return Proof(batch, largest, tuple(part.shape[1] for part in rows))
        failure = NotProved(f"in batches of {batch or len(values)} {found}")
    raise failure


def _others(
    session: InferenceSession,
    names: Sequence[str],
    input: str,
    values: NDArray[Any],
    batch: int | None,
) -> list[Rows]:
    """The pictures' rows in other company: alone, or where the batch is fixed, turned round."""
    if batch is None:
        return _run(session, names, input, values, 1)
    turned = _run(session, names, input, np.ascontiguousarray(values[::-1]), batch)
    return [rows[::-1] for rows in turned]


def _run(
    session: InferenceSession, names: Sequence[str], input: str, values: NDArray[Any], batch: int
) -> list[Rows]:
    """The rows of each output, in batches of one size; the last is filled up."""
    count = len(values)
    padded = np.concatenate([values, np.repeat(values[-1:], -count % batch, axis=0)])
    parts: list[list[Rows]] = [[] for _ in names]
    for start in range(0, len(padded), batch):
        found = session.run(list(names), {input: padded[start : start + batch]})
        for part, value in zip(parts, found, strict=True):
            part.append(value.astype(np.float64).reshape(batch, -1))
    return [np.concatenate(part)[:count] for part in parts]


def _fault(expected: Rows, rows: Rows, tolerance: float) -> str | None:
    """How rows differ from those that are right; None where they do not."""
    if rows.shape != expected.shape:
        return f"gives {rows.shape[1]} scores per image instead of {expected.shape[1]}"
    known = np.isfinite(expected)
    if not (known == np.isfinite(rows)).all():
        return "other scores are NaN or infinite"
    largest = float(np.abs(expected[known]).max(initial=1e-30))
    difference = _largest_difference(expected, rows)
    if difference > tolerance * largest:
        return f"the scores differ by up to {difference:.3g} of {largest:.3g}"
    wide, narrow = np.where(known, expected, 0)[None], np.where(known, rows, 0)[:, None]
    distances = np.abs(wide - narrow).max(axis=2)
    if (np.diag(distances) > distances.min(axis=1) + _ROUNDING * tolerance * largest).any():
        return "the scores of an image are in another one's row"
    return None


def _largest_difference(expected: Rows, rows: Rows) -> float:
    known = np.isfinite(expected)
    return float(np.abs(expected[known] - rows[known]).max(initial=0))


def _opened_with_output(original: Path, name: str) -> InferenceSession:
    """The original with a tensor that is none of its outputs as one."""
    model = onnx.load(original)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return open_network(model.SerializeToString())
