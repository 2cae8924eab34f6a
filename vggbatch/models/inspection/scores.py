"""Which of a network's outputs are the scores, and what they are, from what it says of pictures.

Names, shapes and last nodes mislead: Identity, Reshape or Cast may follow a Softmax, an output of
features may come first, a file may not say how many scores there are. So the values decide, on
pictures that differ (see `trial`); the graph is asked only where values leave it open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vggbatch.errors import UsageError

Values = NDArray[np.float64]
Kind = Literal["logits", "probabilities"]

_SUM_TOLERANCE = 5e-3
"""Of a row of probabilities, in float16 and with a thousand classes."""
_COARSE_TOLERANCE = 0.5
"""The same where they are multiples of 1/256, and a thousand classes are rounded to it."""
_RANGE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Scores:
    """What a network's scores are."""

    output: str
    """The tensor that holds them."""
    kind: Kind
    """Log-probabilities are logits: softmax gives their probabilities."""
    count: int
    """Scores of an image; 2 where there is one, of the second of two classes."""
    binary: bool
    """The file has one score; the other class has what is left."""
    reason: str
    """How that was found, in words."""
    warning: str | None = None
    """What is odd about the scores, though it stops nothing."""


def find_scores(
    outputs: Mapping[str, Values | None],
    *,
    classes: int | None,
    chosen: str | None,
    stated: Kind | None,
    operator: Callable[[str], str | None],
    described: str,
) -> Scores:
    """Decide which output holds the scores, and what they are.

    Args:
        outputs: output -> its rows (pictures, scores), None where it has no row per picture.
        classes: how many the class list has; None where the user gave none and any would do.
        chosen: the output that the user names.
        stated: what the user says they are.
        operator: what makes probabilities of an output, as its graph says (see `probable`).
        described: the network's outputs with types and shapes, for messages.

    Raises:
        UsageError: none fits, several do, or they are not what the user says.
    """
    output = (
        _chosen(outputs, chosen, described) if chosen else _fitting(outputs, classes, described)
    )
    rows = outputs[output]
    if rows is None:
        raise UsageError(
            f"output {output!r} has no row of scores per image (outputs: {described}); "
            "model.scores names another"
        )
    finite = rows[np.isfinite(rows).all(axis=1)]
    if not len(finite):
        raise UsageError(
            f"output {output!r} is NaN or infinite for every picture tried: the network overflows "
            "(float16?) or wants other values than model.preprocess gives it"
        )
    warning = None
    if len(finite) > 1 and np.ptp(finite, axis=0).max() == 0:
        warning = f"output {output!r} is the same for every picture tried"
    elif rows.shape[1] > 2 and ((finite == 0) | (finite == 1)).all():
        warning = f"output {output!r} is 1 for one class and 0 for all others: only top-1 counts"
    if rows.shape[1] == 1:
        kind, reason = _one_score(finite, output, stated, operator(output))
        return Scores(output, kind, 2, True, reason, warning)
    kind, reason = _kind(finite, output, stated, operator(output))
    return Scores(output, kind, rows.shape[1], False, reason, warning)


def _chosen(outputs: Mapping[str, Values | None], name: str, described: str) -> str:
    if name not in outputs:
        raise UsageError(
            f"model.scores={name}: no such output of floats; the outputs are {described}"
        )
    return name


def _fitting(outputs: Mapping[str, Values | None], classes: int | None, described: str) -> str:
    """The output that has as many scores as there are classes."""
    rows = {name: values for name, values in outputs.items() if values is not None}
    if len(outputs) == 1 or len(rows) == 1:
        return next(iter(rows or outputs))
    fitting = [
        name
        for name, values in rows.items()
        if classes is None or values.shape[1] == classes or (classes, values.shape[1]) == (2, 1)
    ]
    if not fitting:
        raise UsageError(
            f"none of the outputs has {classes} scores per image, as many as there are classes "
            f"(outputs: {described}); model.scores names the one with the scores, model.classes a "
            "file with its classes"
        )
    if len(fitting) > 1 and not _alike([rows[name] for name in fitting]):
        raise UsageError(
            f"several outputs may be the scores ({', '.join(fitting)}; outputs: {described}): name "
            "one, model.scores=..."
        )
    # scores and their softmax: the scores are exact however small a probability is
    return fitting[0]


def _alike(candidates: list[Values]) -> bool:
    """Whether all give the same probabilities, of scores or their softmax."""
    found = [c if _sum_to_one(c) else _softmax(c) for c in candidates]
    return all(
        c.shape == found[0].shape and np.abs(c - found[0]).max() < _SUM_TOLERANCE for c in found
    )


def _kind(
    rows: Values,
    output: str,
    stated: Kind | None,
    operator: str | None,
) -> tuple[Kind, str]:
    """What several scores per image are, and why."""
    within = rows.min() >= -_RANGE_TOLERANCE and rows.max() <= 1 + _RANGE_TOLERANCE
    sums = rows.sum(axis=1)
    span = f"sums {sums.min():.4g} to {sums.max():.4g}, values {rows.min():.4g} to {rows.max():.4g}"
    coarse = operator == "Softmax" and np.abs(sums - 1).max() <= _COARSE_TOLERANCE
    if within and (_sum_to_one(rows) or coarse):
        if stated == "logits":
            raise UsageError(
                f"model.output is logits, but output {output!r} gives probabilities ({span}): "
                "leave model.output out, or softmax would be applied twice"
            )
        return "probabilities", "each row is within 0 to 1 and sums to 1"
    if stated == "probabilities":
        if not within:
            raise UsageError(
                f"model.output is probabilities, but output {output!r} gives none ({span}): leave "
                "model.output out"
            )
        return "probabilities", "as stated; rows are within 0 to 1 but do not sum to 1"
    if stated is None and within and operator is not None:
        raise UsageError(
            f"output {output!r} gives values of a {operator} that sum to no 1 over the classes "
            f"({span}): several classes may hold at once, or its axis is wrong. To take them as "
            "they are, model.output=probabilities; to apply softmax to them, model.output=logits"
        )
    if stated is None and _shares_of_another_sum(rows):
        raise UsageError(
            f"output {output!r} gives probabilities of another sum than 1, such as percents "
            f"({span}): export it without what follows its Softmax; to apply softmax to them, "
            "model.output=logits"
        )
    if stated is None and _are_losses(rows):
        raise UsageError(
            f"output {output!r} gives negated probabilities, or their logarithms ({span}), of "
            "which the least is the best: export it without its last Neg, or name the output "
            "before it, model.scores=..."
        )
    if rows.max() <= _RANGE_TOLERANCE and np.abs(_log_sum(rows)).max() < _SUM_TOLERANCE:
        return "logits", "log-probabilities, of which softmax gives the probabilities"
    return "logits", "no probabilities: softmax is applied"


def _one_score(
    rows: Values,
    output: str,
    stated: Kind | None,
    operator: str | None,
) -> tuple[Kind, str]:
    """What a single score per image is: that of the second of two classes."""
    within = rows.min() >= -_RANGE_TOLERANCE and rows.max() <= 1 + _RANGE_TOLERANCE
    if operator in ("Softmax", "LogSoftmax"):
        raise UsageError(
            f"output {output!r} is a {operator} over one score, the same for every image: export "
            "the score before it, or its Sigmoid"
        )
    if stated is None and within and operator is None:
        raise UsageError(
            f"output {output!r} gives one score per image, from {rows.min():.4g} to "
            f"{rows.max():.4g}: is it the probability of the second class, "
            "model.output=probabilities, or its logit, model.output=logits?"
        )
    if stated == "probabilities" and not within:
        raise UsageError(
            f"model.output is probabilities, but output {output!r} gives {rows.min():.4g} to "
            f"{rows.max():.4g}"
        )
    if stated == "logits" and operator is not None and within:
        raise UsageError(
            f"model.output is logits, but output {output!r} is a {operator}: leave it out"
        )
    if stated == "probabilities" or (stated is None and within):
        return "probabilities", "one score per image: the probability of the second class"
    return "logits", "one score per image: the logit of the second class"


def _sum_to_one(rows: Values) -> bool:
    sums = rows.sum(axis=1)
    within = rows.min() >= -_RANGE_TOLERANCE and rows.max() <= 1 + _RANGE_TOLERANCE
    return bool(within and np.abs(sums - 1).max() <= _SUM_TOLERANCE)


def _shares_of_another_sum(rows: Values) -> bool:
    """Whether rows that differ, none of their values below 0, all have one sum: percents."""
    sums = rows.sum(axis=1)
    if len(rows) < 2 or rows.min() < 0 or np.ptp(rows, axis=0).max() == 0:
        return False
    return bool(np.ptp(sums) <= _RANGE_TOLERANCE * sums.max())


def _are_losses(rows: Values) -> bool:
    """Whether they are negated probabilities, or the negated logarithms of some."""
    negated = -rows
    return _sum_to_one(negated) or bool(
        negated.max() <= _RANGE_TOLERANCE and np.abs(_log_sum(negated)).max() < _SUM_TOLERANCE
    )


def _softmax(rows: Values) -> Values:
    exponents = np.exp(rows - rows.max(axis=1, keepdims=True))
    shares: Values = exponents / exponents.sum(axis=1, keepdims=True)
    return shares


def _log_sum(rows: Values) -> Values:
    top = rows.max(axis=1, keepdims=True)
    sums: Values = top[:, 0] + np.log(np.exp(rows - top).sum(axis=1))
    return sums
