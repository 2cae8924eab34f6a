"""How values read on the page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vggbatch.metrics import Metric

if TYPE_CHECKING:
    from markupsafe import Markup

_REMEMBERED = 2**14
"""Classes whose names are kept as they read: a page has each of them many times."""

_NAMES = {
    "top1": "Top-1 accuracy",
    "top5": "Top-5 accuracy",
    "mean_per_class_top1": "Mean per-class top-1",
    "top1_at_most": "Top-1 at most",
    "top5_at_most": "Top-5 at most",
    "ece": "Calibration error (ECE)",
    "nll": "Negative log-likelihood (NLL)",
    "nll_at_least": "NLL at least",
    "top1_at_least": "Top-1 at least",
    "top5_at_least": "Top-5 at least",
    "top2": "Top-2 accuracy",
    "top3": "Top-3 accuracy",
    "top4": "Top-4 accuracy",
    "top1_scored": "Top-1 of scored images",
    "top5_scored": "Top-5 of scored images",
    "top1_all": "Top-1, failed as wrong",
    "top5_all": "Top-5, failed as wrong",
    "brier": "Brier score",
    "ece_equal_mass": "ECE, bins of equal mass",
    "ece_l2_debiased": "Root mean square ECE, debiased",
    "classwise_ece_top5": "Class-wise ECE of the five",
    "effective_robustness": "Effective robustness",
    "aurc": "Area under risk-coverage (AURC)",
    "label_rejected": "Labels that this set rejects",
    "label_audit": "Predictions right here, not by their label",
    "error_rate": "Images that failed",
}


@dataclass(frozen=True)
class ClassName:
    """A line `n02123045 tabby, tabby cat`, taken apart."""

    wnid: str
    short: str
    """The first of its names."""
    full: str

    @property
    def more(self) -> str:
        """Its other names."""
        return self.full.partition(",")[2].strip()

    @staticmethod
    @lru_cache(_REMEMBERED)
    def of(line: str) -> ClassName:
        """From the line; one without a WordNet id is a name."""
        wnid, _, name = line.partition(" ")
        if not name:
            wnid, name = "", wnid
        return ClassName(wnid, name.partition(",")[0], name)


@lru_cache(_REMEMBERED)
def class_span(line: str) -> Markup:
    """The first name of a class, and all of them on pointing at it."""
    from markupsafe import Markup  # comes with jinja2, which is not always there

    name = ClassName.of(line)
    return Markup('<span title="{}">{}</span>').format(name.full, name.short)


def metric_name(metric: str) -> str:
    """`top1` -> `Top-1 accuracy`."""
    return _NAMES.get(metric, metric)


def metric_value(line: Metric, value: float | None) -> str:
    """A value of a metric with its unit."""
    if value is None:
        return "–"  # noqa: RUF001
    return f"{line.shown(value)} {line.unit}".rstrip()


def metric_interval(line: Metric) -> str:
    """The 95 % interval, or nothing."""
    if line.ci_low is None or line.ci_high is None:
        return ""
    return f"{line.shown(line.ci_low)} to {line.shown(line.ci_high)}"


def number(value: float | None, digits: int = 0) -> str:
    """With thousands separators; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"  # noqa: RUF001


def signed(value: float, digits: int = 2) -> str:
    """With its sign, a true minus."""
    return f"{value:+,.{digits}f}".replace("-", "−")  # noqa: RUF001


def duration(seconds: float) -> str:
    """`0.035 s`, `3.2 s`, `12 min 5 s`, `7 h 3 min`, `2 d 4 h`."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    left = round(seconds)
    sizes = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next(i for i, (size, _) in enumerate(sizes) if left >= size)
    parts = []
    for size, name in sizes[first : first + 2]:
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount} {name}")
    return " ".join(parts)


def flat(value: Any, key: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted keys and their values; those without a value are left out."""
    if isinstance(value, dict):
        return [
            row
            for name, part in value.items()
            for row in flat(part, f"{key}.{name}" if key else str(name))
        ]
    if value is None or value == []:
        return []
    if isinstance(value, list):
        return [(key, ", ".join(str(part) for part in value))]
    if isinstance(value, bool):
        return [(key, "yes" if value else "no")]
    return [(key, str(value))]


FILTERS = {
    "class_name": ClassName.of,
    "class_span": class_span,
    "metric_name": metric_name,
    "number": number,
    "signed": signed,
    "duration": duration,
    "flat": flat,
}
"""For the templates."""
