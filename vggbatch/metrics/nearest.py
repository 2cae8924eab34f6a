"""Which of several preprocessing recipes comes nearest to the published accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vggbatch.metrics.summary import Metric

_HEADLINES = ("top1", "top5")


@dataclass(frozen=True)
class Nearest:
    """The recipe nearest to the published values of a label set."""

    label_set: str
    profile: str
    delta: float
    """Measured top-1 minus published, in points."""
    possible: tuple[str, ...]
    """The recipes whose intervals hold all published values: this many images rule out the rest."""

    def in_words(self) -> str:
        """As one sentence."""
        text = f"nearest to the published top1: {self.profile} ({self.delta:+.2f} points)"
        if not self.possible:
            return f"{text}; no recipe's 95 % intervals hold the published values"
        return f"{text}; published values inside the 95 % intervals of {', '.join(self.possible)}"


def nearest(metrics: Mapping[str, Sequence[Metric]]) -> list[Nearest]:
    """For each label set with published values the nearest of the recipes.

    By the distance of top-1, then of top-5.

    Args:
        metrics: the summary lines of each recipe, by its name.
    """
    found = []
    names = dict.fromkeys(line.label_set for lines in metrics.values() for line in lines)
    for label_set in names:
        known: dict[str, list[Metric]] = {}
        for profile, lines in metrics.items():
            beside = {
                line.metric: line
                for line in lines
                if line.label_set == label_set and line.published_delta is not None
            }
            if "top1" in beside:
                known[profile] = [beside[name] for name in _HEADLINES if name in beside]
        if len(known) > 1:
            best = min(known, key=lambda profile: [abs(_delta(line)) for line in known[profile]])
            possible = tuple(name for name, lines in known.items() if all(map(_holds, lines)))
            found.append(Nearest(label_set, best, _delta(known[best][0]), possible))
    return found


def _delta(line: Metric) -> float:
    assert line.published_delta is not None
    return line.published_delta


def _holds(line: Metric) -> bool:
    if line.published is None or line.ci_low is None or line.ci_high is None:
        return False
    return line.ci_low <= line.published <= line.ci_high
