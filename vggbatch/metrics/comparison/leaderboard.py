"""Many runs on the same images: each with its accuracy, and its paired difference from the first.

Every further run is compared with the first one, the reference, as `compare` does it. That are
several tests, so their p-values are given corrected for how many they are (Holm 1979) too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vggbatch.errors import UsageError
from vggbatch.html_table import as_html
from vggbatch.metrics.comparison.compare import Comparison, PairedAccuracy, compare_runs
from vggbatch.metrics.estimates.intervals import holm, wilson
from vggbatch.metrics.labelset import RECORDED, LabelSet
from vggbatch.metrics.rescore import Source
from vggbatch.metrics.summary import ErrorPolicy
from vggbatch.storage.filesystem import public_uri


@dataclass(frozen=True)
class Against:
    """A run beside the first one; percentages and percentage points."""

    images: int
    """In both."""
    agreement: float | None
    """Percentage with the same first prediction, of those that both scored."""
    agreement_ci: tuple[float, float] | None
    difference: float | None = None
    """This run's top-1 less the first one's; None, as all below, where no image has a label."""
    ci_low: float | None = None
    ci_high: float | None = None
    only_first: int | None = None
    """Images that only the first run gets right."""
    only_this: int | None = None
    p_value: float | None = None
    """McNemar's exact test."""
    mid_p_value: float | None = None
    p_holm: float | None = None
    """Corrected for the number of comparisons."""
    mid_p_holm: float | None = None


@dataclass(frozen=True)
class Entry:
    """One of the runs."""

    run: int
    """Its place among the outputs as they were named, from 1."""
    output: str
    model: str
    profile: str | None
    synthetic: bool
    """Whether any weights were made up."""
    images_per_second: float | None
    """Of the run that scored them; None where that is not known, as of a merge."""
    n: int
    """Labeled images that the accuracy is over; for all but the first those in both runs."""
    top1: float | None
    ci_low: float | None
    ci_high: float | None
    against: Against | None
    """Beside the first run; None for that one itself."""


@dataclass(frozen=True)
class Leaderboard:
    """Many runs, in the order in which they were named."""

    entries: list[Entry]
    same_images: bool
    """Whether all have the same images."""

    @property
    def labeled(self) -> bool:
        """Whether there are accuracies."""
        return any(entry.top1 is not None for entry in self.entries)

    @property
    def ranked(self) -> list[Entry]:
        """The best first; as they were named where there are no labels."""
        return sorted(self.entries, key=lambda entry: -1.0 if entry.top1 is None else -entry.top1)

    @property
    def notes(self) -> list[str]:
        """What must be known to read it."""
        found = []
        if self.labeled:
            tests = len(self.entries) - 1
            corrected = f"those with * corrected for {tests} comparisons (Holm)"
            alone = "one comparison needs no correction, so those with * are the same"
            found.append(f"p and mid-p are McNemar's, {corrected if tests > 1 else alone}")
        if not self.same_images:
            found.append(
                "the runs have different images: each is compared with run 1 on those in both"
            )
        return found

    def _repr_html_(self) -> str:
        """The runs, the best first, as a notebook shows them."""
        return as_html(
            (
                (
                    f"{entry.run} {entry.model}",
                    None if entry.top1 is None else f"{entry.top1:.2f} %",
                    _ends(entry.ci_low, entry.ci_high, ".2f"),
                    *_beside(entry.against),
                    f"{entry.n:,}",
                )
                for entry in self.ranked
            ),
            ("run", "top-1", "95 % interval", "from run 1", "95 % interval", "images"),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"runs": [asdict(entry) for entry in self.entries], "same_images": self.same_images}


def _beside(against: Against | None) -> tuple[str | None, str | None]:
    if against is None or against.difference is None:
        return None, None
    return f"{against.difference:+.2f}", _ends(against.ci_low, against.ci_high, "+.2f")


def _ends(low: float | None, high: float | None, form: str) -> str | None:
    return None if low is None or high is None else f"{low:{form}} to {high:{form}}"


def leaderboard_of(
    sources: Sequence[Source], labels: LabelSet = RECORDED, *, errors: ErrorPolicy = "wrong"
) -> Leaderboard:
    """Compare outputs with the first of them.

    Args:
        sources: the outputs, at least two.
        labels: what is right; those of the rows are the first run's, where it has one.
        errors: what a labeled image that a run could not score counts as.

    Raises:
        UsageError: no predictions, no image in common with the first, or networks with other
            classes.
    """
    first, *others = sources
    for other in others:
        if other.class_lines != first.class_lines:
            raise UsageError(
                f"{first.title} and {other.title} have other classes: they cannot be compared"
            )

    def compared(other: Source) -> Comparison:
        lines = first.class_lines
        return compare_runs(first.folder, other.folder, labels, class_lines=lines, errors=errors)

    pairs = [compared(other) for other in others]
    tops = [pair.accuracies[0] if pair.accuracies else None for pair in pairs]
    known = [top for top in tops if top is not None]
    same = len({(p.images, p.only_in_a, p.only_in_b) for p in pairs}) == 1
    same = same and not pairs[0].only_in_a + pairs[0].only_in_b
    # where all pairs are over the same images they agree on the first run
    shared = len(known) == len(pairs) and len({(top.n, top.a) for top in known}) == 1
    own = compared(first) if known and not shared else None
    reference = own.accuracies[0] if own is not None else next(iter(known), None)
    exact, mid = holm([t.p_value for t in known]), holm([t.mid_p_value for t in known])
    corrected = dict(zip(map(id, known), zip(exact, mid, strict=True), strict=True))
    entries = [_entry(1, first, *_accuracy(reference, of_first=True), None)]
    for number, (source, pair, top) in enumerate(zip(others, pairs, tops, strict=True), 2):
        against = Against(pair.images, pair.agreement, pair.agreement_ci)
        if top is not None:
            against = _tested(pair, top, *corrected[id(top)])
        entries.append(_entry(number, source, *_accuracy(top, of_first=False), against))
    return Leaderboard(entries, same)


def _tested(pair: Comparison, top: PairedAccuracy, p_holm: float, mid_p_holm: float) -> Against:
    return Against(
        images=pair.images,
        agreement=pair.agreement,
        agreement_ci=pair.agreement_ci,
        difference=top.difference,
        ci_low=top.ci_low,
        ci_high=top.ci_high,
        only_first=top.only_a,
        only_this=top.only_b,
        p_value=top.p_value,
        mid_p_value=top.mid_p_value,
        p_holm=p_holm,
        mid_p_holm=mid_p_holm,
    )


def _accuracy(
    top: PairedAccuracy | None, *, of_first: bool
) -> tuple[int, tuple[float, float, float] | None]:
    """The images that an accuracy is over, and the accuracy with its interval."""
    if top is None:
        return 0, None
    value = top.a if of_first else top.b
    low, high = wilson(round(value * top.n / 100), top.n)
    return top.n, (value, 100 * low, 100 * high)


def _entry(
    number: int,
    source: Source,
    n: int,
    accuracy: tuple[float, float, float] | None,
    against: Against | None,
) -> Entry:
    rates = source.record.get("rates", {})
    top1, low, high = accuracy if accuracy is not None else (None, None, None)
    return Entry(
        run=number,
        output=public_uri(source.folder.uri),
        model=source.networks,
        profile=source.record.get("preprocess", {}).get("profile"),
        synthetic=source.synthetic,
        images_per_second=rates["images_per_second"] if rates.get("images_this_run") else None,
        n=n,
        top1=top1,
        ci_low=low,
        ci_high=high,
        against=against,
    )
