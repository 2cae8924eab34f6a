"""The forms in which a network may be run here, the fastest first.

Not every network can be batched, and not every prepared file can be opened again: a scale taken
from the whole batch, a token that has its batch, weights whose packed form onnxruntime cannot
read. So preparation makes one form after the other until one is proved to compute what the
original does (see `proof`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """How a network is written down."""

    free: bool
    """Whether its batch dimension is freed."""
    reshapes: bool | None
    """Whether constant shapes are freed with it; None: where the input has the batch fixed."""
    widened: bool
    """Whether its first convolution gets a fourth channel (see `widen`)."""
    optimized: bool
    """Whether it is written as onnxruntime optimizes it for this machine."""
    prepacked: bool
    """Whether its weights are written as this machine wants them."""
    batches: tuple[int | None, ...]
    """Images in a run that may be proved: None for any number, the best first."""

    def describe(self) -> str:
        """In words."""
        if not self.optimized:
            return "as it is" if not self.free else "batch freed"
        parts = ["batch freed" if self.free else "own batch", "optimized"]
        return ", ".join(parts + (["prepacked"] if self.prepacked else []))


def forms_of(*, fixed: int | None, quantized: bool, dynamic: bool) -> Iterator[Form]:
    """The forms of a network, the fastest first.

    Args:
        fixed: images in a run that its input declares; None where that is free.
        quantized: whether any of it computes with integers.
        dynamic: whether it takes scales from the activations of the whole batch.
    """
    one_by_one = fixed in (None, 1)
    if one_by_one or not dynamic:
        best: tuple[int | None, ...] = (1,) if dynamic else (None,)
        rest = best if dynamic or not one_by_one else (None, 1)
        if quantized:
            yield Form(True, None, True, True, True, best)
        yield Form(True, None, False, True, True, best if fixed is None else rest)
        if fixed is None and not dynamic:
            # the input says any number, yet shapes within may have the exporter's one image
            yield Form(True, True, False, True, True, best)
            yield Form(True, None, False, True, True, (1,))
        yield Form(True, None, False, True, False, rest)
        yield Form(True, None, False, False, False, rest)
    own = fixed or 1
    yield Form(False, None, False, True, True, (own,))
    yield Form(False, None, False, True, False, (own,))
    yield Form(False, None, False, False, False, (own,))
