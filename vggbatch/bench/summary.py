"""From measurements to one table: medians and spread, the limit, ratios; Parquet, JSON and text."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.bench.measure import Measurement
from vggbatch.bench.registry import REFERENCE

LIMIT = "limit"
OURS = "vggbatch"
INFERENCE = "prepared"
"""The system that runs vggbatch's graph alone."""


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the rounds."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Iterable[float | None]) -> Spread | None:
        """Of what there is; None of nothing."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return Spread(statistics.median(known), min(known), max(known))


@dataclass(frozen=True)
class Line:
    """One system with one network. None: it has no such figure."""

    network: str
    system: str
    title: str
    rounds: int
    """That succeeded."""
    cores: int
    rate: Spread | None = None
    """Images a second of the whole command, from its start to its end."""
    steady: Spread | None = None
    """Images a second in between, without start and end."""
    peak_bytes: Spread | None = None
    first_seconds: Spread | None = None
    agreement: float | None = None
    """Share of images with the top-1 class of the plain loop, or of the first that ran."""
    ours_whole: float | None = None
    """vggbatch's whole command against this one's: above 1, vggbatch is faster."""
    ours_steady: float | None = None
    """vggbatch's steady rate against this one's."""
    error: str | None = None
    """Of the last round that failed."""

    @property
    def per_core(self) -> float | None:
        """Images a second and core: of the whole command, or steady for a part of it."""
        rate = self.rate or self.steady
        return rate.median / self.cores if rate else None


@dataclass(frozen=True)
class Speedup:
    """int8 against fp32 in one system: above 1, int8 is faster."""

    whole: float | None
    """Of the whole command."""
    steady: float | None
    """Of the steady rates."""
    rounds: int
    """Of the one that has fewer."""


@dataclass(frozen=True)
class Summary:
    """The result of a benchmark."""

    lines: list[Line]
    facts: dict[str, Any]
    """Machine, versions, settings, models, and why systems were left out."""

    def line(self, network: str, system: str) -> Line | None:
        """The line of a system, None where it did not run."""
        found = (x for x in self.lines if (x.network, x.system) == (network, system))
        return next(found, None)

    def speedups(self) -> dict[str, Speedup]:
        """int8 against fp32, for every system that ran both."""
        found = {}
        for line in self.lines:
            other = self.line("fp32", line.system)
            if line.network != "int8" or other is None:
                continue
            whole, steady = _ratio(line.rate, other.rate), _ratio(line.steady, other.steady)
            if whole or steady:
                found[line.system] = Speedup(whole, steady, min(line.rounds, other.rounds))
        return found

    def to_table(self) -> pa.Table:
        """One row a line; spreads as `rate`, `rate_low`, `rate_high` and so on."""
        rows = []
        for line in self.lines:
            row: dict[str, Any] = {}
            for name, value in vars(line).items():
                if name in ("rate", "steady", "peak_bytes", "first_seconds"):
                    row[name] = value and value.median
                    row[f"{name}_low"] = value and value.low
                    row[f"{name}_high"] = value and value.high
                else:
                    row[name] = value
            rows.append(row | {"per_core": line.per_core})
        return pa.Table.from_pylist(rows)

    def write(self, folder: Path) -> None:
        """bench.json and bench.parquet."""
        lines = [asdict(line) | {"per_core": line.per_core} for line in self.lines]
        speedups = {name: asdict(ratio) for name, ratio in self.speedups().items()}
        content = {**self.facts, "int8_against_fp32": speedups, "lines": lines}
        (folder / "bench.json").write_text(json.dumps(content, indent=1))
        pq.write_table(self.to_table(), folder / "bench.parquet")


def summarize(
    measurements: Sequence[Measurement],
    *,
    networks: Sequence[str],
    cores: Mapping[str, int],
    titles: Mapping[str, str],
    facts: dict[str, Any],
) -> Summary:
    """Put the rounds together.

    Args:
        measurements: of all rounds.
        networks: in the order of the table.
        cores: system -> cores it had, in the order of the table.
        titles: system -> what the table calls it.
        facts: what the figures belong to.
    """
    lines: list[Line] = []
    for network in networks:
        own = [m for m in measurements if m.network == network]
        good = {name: [m for m in own if m.system == name and not m.error] for name in cores}
        reference = _reference(good)
        ours = _rates(good.get(OURS, []))
        for name, count in cores.items():
            errors = [m.error for m in own if m.system == name and m.error]
            if not good[name] and not errors:
                continue
            rate, steady = _rates(good[name])
            lines.append(
                Line(
                    network=network,
                    system=name,
                    title=titles[name],
                    rounds=len(good[name]),
                    cores=count,
                    rate=rate,
                    steady=steady,
                    peak_bytes=Spread.of(m.peak_bytes for m in good[name]),
                    first_seconds=Spread.of(m.first_seconds for m in good[name]),
                    agreement=_agreement(good[name], reference),
                    ours_whole=_ratio(ours[0], rate),
                    ours_steady=_ratio(ours[1], steady),
                    error=errors[-1] if errors else None,
                )
            )
        limit = _limit(good)
        if limit is not None:
            count = cores.get(OURS, cores[INFERENCE])
            scaled = limit * count / cores[INFERENCE]
            spread = Spread(scaled, scaled, scaled)
            title = "limit of the cores"
            lines.append(
                Line(
                    network=network,
                    system=LIMIT,
                    title=title,
                    rounds=len(good[INFERENCE]),
                    cores=count,
                    steady=spread,
                    ours_steady=_ratio(ours[1], spread),
                )
            )
    return Summary(lines, facts)


def _rates(found: Sequence[Measurement]) -> tuple[Spread | None, Spread | None]:
    """Of the whole command, and steady. A part of the work has no whole command."""
    whole = [m.images / m.seconds for m in found if m.whole]
    return Spread.of(whole), Spread.of(m.steady_rate for m in found)


def _limit(good: Mapping[str, Sequence[Measurement]]) -> float | None:
    """Images a second of this machine if its cores did nothing but inference and decoding.

    The inference is that of the graph which vggbatch runs.
    """
    parts = [_rates(good.get(name, []))[1] for name in (INFERENCE, "decoding")]
    known = [part for part in parts if part is not None]
    return None if len(known) < 2 else 1 / sum(1 / part.median for part in known)


def _ratio(ours: Spread | None, other: Spread | None) -> float | None:
    return ours.median / other.median if ours and other else None


def _reference(good: Mapping[str, Sequence[Measurement]]) -> list[int]:
    """The predictions that the others are held against."""
    candidates = [*good.get(REFERENCE, []), *(m for found in good.values() for m in found)]
    whole = (m.top1 for m in candidates if m.whole and m.top1)
    return next(whole, [])


def _agreement(found: Sequence[Measurement], reference: Sequence[int]) -> float | None:
    pairs = [pair for m in found for pair in zip(m.top1, reference, strict=False)]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None
