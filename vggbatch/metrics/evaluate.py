"""An evaluation: label sets against the predictions of an output, file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial, reduce
from operator import add
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.errors import UsageError
from vggbatch.html_table import as_html
from vggbatch.metrics.audit import audit
from vggbatch.metrics.labelset import RECORDED, Accepted, LabelSet
from vggbatch.metrics.layout import METRICS, table_name
from vggbatch.metrics.partial import ClassCounts, Partial, count
from vggbatch.metrics.robustness import effective_robustness
from vggbatch.metrics.rows import (
    Predictions,
    Rows,
    open_predictions,
    prediction_files,
    read_batches,
)
from vggbatch.metrics.summary import ErrorPolicy, Metric, notes, summarize, summary_table
from vggbatch.metrics.superclasses import superclass_table
from vggbatch.metrics.tables import (
    calibration_table,
    confusions_table,
    per_class_table,
    risk_coverage_table,
)
from vggbatch.output.checks.intact import content_facts
from vggbatch.output.footer import parquet_bytes
from vggbatch.output.ownership.fence import Fence

MapFn = Callable[[Callable[[str], list[Partial]], Iterable[str]], Iterable[list[Partial]]]
"""Applies a picklable function to file names, in any order: `map`, a pool's, or Ray tasks."""

_READERS = 8
"""Files read at a time: from a store, most of the time is waiting."""


def side_by_side(
    function: Callable[[str], list[Partial]], names: Iterable[str]
) -> Iterator[list[Partial]]:
    """`map` in threads of this process: 2,000,000 rows take 0.7 s of a core (measured)."""
    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(function, names)


@dataclass(frozen=True)
class LabelSetResult:
    """All tables of one label set."""

    name: str
    metrics: list[Metric]
    notes: list[str]
    per_class: pa.Table
    confusions: pa.Table
    calibration: pa.Table
    others: dict[str, pa.Table] = field(default_factory=dict)
    """Further tables by their names: risk_coverage, superclasses, label_audit."""

    @property
    def labeled(self) -> int:
        """Images that have a label in this set."""
        return next((line.n for line in self.metrics if line.metric == "top1"), 0)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a run against one or several label sets."""

    results: list[LabelSetResult]

    @property
    def labeled(self) -> int:
        """Images that have a label in the set that knows most."""
        return max((result.labeled for result in self.results), default=0)

    @property
    def metrics(self) -> list[Metric]:
        """The lines of the summary."""
        return [line for result in self.results for line in result.metrics]

    def tables(self, profile: str | None = None, generation: int = 0) -> dict[str, pa.Table]:
        """The tables by the names of their files.

        A set that has a label for no image has nothing to say: it is left out, and where that is
        true of all, there is no table.

        Args:
            profile: names the partition that they are, where several profiles were scored.
            generation: how often the output was revised.
        """
        known = [result for result in self.results if result.labeled]
        if not known:
            return {}
        lines = [line for result in known for line in result.metrics]
        tables = {table_name("summary", None, profile, generation): summary_table(lines)}
        for result in known:
            own = {
                "per_class": result.per_class,
                "confusions": result.confusions,
                "calibration": result.calibration,
                **result.others,
            }
            for name, table in own.items():
                tables[table_name(name, result.name, profile, generation)] = table
        return tables

    def write(self, place: Fence, footer: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Write the tables under metrics/ in an output, in place of any that are there.

        Args:
            place: the right to write there.
            footer: entries of the files' footers.

        Returns:
            What run.json lists of them.
        """
        return write_metrics(place, {"": self}, {"": footer or {}})

    def lines(self) -> list[dict[str, Any]]:
        """The summary as plain values."""
        return [asdict(line) | {"flagged": line.flagged} for line in self.metrics]

    def _repr_html_(self) -> str:
        """The summary, as a notebook shows it."""
        return as_html(
            (
                (
                    f"{line.label_set}: {line.metric}",
                    None if line.value is None else f"{line.shown(line.value)} {line.unit}".strip(),
                    None
                    if line.ci_low is None or line.ci_high is None
                    else f"{line.shown(line.ci_low)} to {line.shown(line.ci_high)}",
                    f"{line.n:,}",
                )
                for line in self.metrics
            ),
            ("metric", "value", "95 % interval", "images"),
        )

    def to_json(self) -> dict[str, Any]:
        """The summary and its notes as plain values."""
        return {
            "metrics": self.lines(),
            "notes": {result.name: result.notes for result in self.results},
        }


def write_metrics(
    place: Fence,
    evaluations: Mapping[str, Evaluation],
    footers: Mapping[str, Mapping[str, str]],
    generation: int = 0,
    *,
    beside: bool = False,
) -> list[dict[str, Any]]:
    """Write the metrics of an output, in place of any that are there.

    Args:
        place: the right to write there.
        evaluations: by profile; of several, each is a partition of the tables.
        footers: entries of the files' footers, by profile.
        generation: how often the output was revised.
        beside: whether tables that are there stay, as of the generation before until this one is
            declared.

    Returns:
        What run.json lists of the tables.
    """
    if not beside:
        place.delete_tree(METRICS)
    facts = []
    for profile, evaluation in evaluations.items():
        partition = profile if len(evaluations) > 1 else None
        for name, table in evaluation.tables(partition, generation).items():
            data = parquet_bytes(table, footers[profile])
            place.write_bytes(name, data)
            facts.append(content_facts(name, data))
    return facts


def evaluate_predictions(
    folder: Predictions,
    label_sets: Sequence[LabelSet] = (RECORDED,),
    *,
    class_lines: Sequence[str],
    published: dict[str, dict[str, float]] | None = None,
    errors: ErrorPolicy = "wrong",
    files: Sequence[str] | None = None,
    map_fn: MapFn = side_by_side,
) -> Evaluation:
    """Compute all metrics of an output from its predictions files.

    Rows are read in batches and only sums are kept. The same function serves the driver and a
    cluster: `map_fn` decides where the files are read.

    Args:
        folder: the output.
        label_sets: what to score against.
        class_lines: the network's classes, `wnid name`, in output order.
        published: percentages by metric, by benchmark (see `LabelSet.benchmark`).
        errors: what a labeled image that could not be scored counts as.
        files: names of its predictions files; None: those that it names.
        map_fn: applies a function to every file name.

    Raises:
        UsageError: no predictions, or labels beyond the network's classes.
    """
    names = [labels.name for labels in label_sets]
    if len(set(names)) < len(names):
        raise UsageError(f"label sets need different names, not {', '.join(names)}")
    score = partial(
        score_file, folder=folder, label_sets=tuple(label_sets), classes=len(class_lines)
    )
    sums = _merge(map_fn(score, files or prediction_files(folder)))
    results = []
    for labels, total in zip(label_sets, sums, strict=True):
        known = (published or {}).get(labels.benchmark or "")
        lines = summarize(labels, total, errors=errors, published=known)
        results.append(
            LabelSetResult(
                name=labels.name,
                metrics=lines,
                notes=notes(total, lines, errors),
                per_class=per_class_table(total, class_lines, errors),
                confusions=confusions_table(total, len(class_lines)),
                calibration=calibration_table(total),
                others=_others(total, class_lines, errors),
            )
        )
    by_name = {result.name: result.metrics for result in results}
    for line in effective_robustness(label_sets, by_name):
        by_name[line.label_set].append(line)
    return Evaluation(results)


def _others(sums: Partial, class_lines: Sequence[str], errors: ErrorPolicy) -> dict[str, pa.Table]:
    """The tables that depend on what there is."""
    tables = {"risk_coverage": risk_coverage_table(sums)}
    kinds = superclass_table(sums, class_lines, errors)
    if kinds.num_rows:
        tables["superclasses"] = kinds
    if sums.audit.vindicated:
        tables["label_audit"] = sums.audit.table()
    return tables


def _merge(partials: Iterable[list[Partial]]) -> list[Partial]:
    """Sum what the files give, as it comes, for each label set."""
    return reduce(lambda a, b: list(map(add, a, b)), partials)


def score_file(
    name: str, *, folder: Predictions, label_sets: tuple[LabelSet, ...], classes: int
) -> list[Partial]:
    """The sums of one predictions file, for each label set.

    Raises:
        UsageError: a label is no class of the network, or the file was changed after the run.
    """
    sums = [Partial(ClassCounts.zeros(classes)) for _ in label_sets]
    same = [True for _ in label_sets]
    with open_predictions(folder, name) as file:
        ids = any(labels.matcher is not None for labels in label_sets)
        for rows in map(Rows.of, read_batches(file, ids=ids)):
            _check_predicted(rows, classes, f"{folder.uri}/{name}")
            for i, labels in enumerate(label_sets):
                column = labels.labels(rows.image_id, rows.label)
                same[i] = same[i] and column.equals(rows.label)
                _check_range(column, classes, labels.name)
                accepted = Accepted.of(column)
                sums[i] += count(rows, accepted, classes=classes, subset=labels.classes)
                if labels.matcher is not None and labels.classes is None:
                    sums[i].audit += audit(rows, accepted)
        recorded = LabelLikelihood.from_metadata(file.metadata.metadata)
    for i, labels in enumerate(label_sets):
        # What the run recorded is over its own labels: of use where this set agrees with them.
        if recorded is not None and same[i] and labels.classes is None:
            if recorded.n != sums[i].labeled:
                raise UsageError(
                    f"{folder.uri}/{name} records the likelihood of {recorded.n} labels and has "
                    f"{sums[i].labeled}: its rows or its metadata were changed after the run"
                )
            sums[i].likelihood, sums[i].outside = recorded, LabelLikelihood()
        elif recorded is not None:
            sums[i].likelihood += recorded.without_labels()
    return sums


def _check_predicted(rows: Rows, classes: int, where: str) -> None:
    highest = int(rows.index.max(initial=-1))
    if highest >= classes:
        raise UsageError(
            f"{where} has predictions of class {highest}, but the network has classes 0 to "
            f"{classes - 1}"
        )


def _check_range(labels: pa.Array, classes: int, name: str) -> None:
    flat = labels.flatten() if pa.types.is_nested(labels.type) else labels
    span = pc.min_max(flat).as_py()
    if span["min"] is not None and (span["min"] < 0 or span["max"] >= classes):
        bad = span["min"] if span["min"] < 0 else span["max"]
        raise UsageError(
            f"label set {name!r} has class {bad}, but the network has classes 0 to {classes - 1}"
        )
