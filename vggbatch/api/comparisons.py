"""Runs beside each other on the same images: two in detail, or many in a table."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack

from vggbatch import report
from vggbatch.api.locations import texts
from vggbatch.config import LabelOptions, Location
from vggbatch.errors import JobFailed, UsageError
from vggbatch.labels import EMBEDDED, LabelSpec
from vggbatch.metrics.comparison.compare import Comparison, compare_runs
from vggbatch.metrics.comparison.leaderboard import Leaderboard, leaderboard_of
from vggbatch.metrics.labelset import LabelSet
from vggbatch.metrics.recorded import has_read
from vggbatch.metrics.rescore import Source
from vggbatch.metrics.sets import label_sets
from vggbatch.metrics.several import open_sources
from vggbatch.metrics.summary import ErrorPolicy

_log = logging.getLogger(__name__)


def compare(
    a: Location,
    b: Location,
    *,
    labels: Location = "embedded",
    errors: ErrorPolicy = "wrong",
    classes: str | None = None,
    partial: bool = False,
    options: LabelOptions | None = None,
) -> Comparison:
    """Compare two runs on the same images, image by image.

    >>> compare("out", "evaluated").agreement
    100.0

    Args:
        a: output of the reference run; a glob of outputs is read as one.
        b: output of the other run, likewise.
        labels: what is right; `embedded`: what the runs recorded.
        errors: what a labeled image that could not be scored counts as.
        classes: the networks' class file, where run.json does not list their classes.
        partial: take the rows of unfinished runs, with a warning that says how many they are.
        options: how the label file is to be read; else as the runs have read it, if they have.

    Raises:
        UsageError: a run is not finished, no predictions, or no image in common; or the runs have
            read the label file in different ways.
        JobFailed: a label file was named, and no image of both runs has a label in it.
    """
    sources = _opened((a, b), classes, partial=partial)
    first, second = sources
    label_set = _labels(sources, os.fspath(labels), options)
    with first.seen.reading(), second.seen.reading():
        comparison = compare_runs(
            first.folder, second.folder, label_set, class_lines=first.class_lines, errors=errors
        )
    spec = LabelSpec.parse(os.fspath(labels))
    if spec.source != EMBEDDED and not comparison.labeled:
        raise JobFailed(f"no image in both runs has a label in {spec.public()}: is it of them?")
    return comparison


def leaderboard(
    outputs: Sequence[Location],
    *,
    labels: Location = "embedded",
    errors: ErrorPolicy = "wrong",
    classes: str | None = None,
    partial: bool = False,
    options: LabelOptions | None = None,
    page: Location | None = None,
) -> Leaderboard:
    """Many runs on the same images: the accuracy of each, and its difference from the first.

    >>> [entry.model for entry in leaderboard(["out", "evaluated"]).entries]
    ['net.onnx', 'net.onnx']

    Args:
        outputs: outputs of runs, the reference first; a glob of outputs is read as one.
        labels: what is right; `embedded`: what the runs recorded.
        errors: what a labeled image that could not be scored counts as.
        classes: the networks' class file, where run.json does not list their classes.
        partial: take the rows of unfinished runs, with a warning that says how many they are.
        options: how the label file is to be read; else as the runs have read it, if they have.
        page: gets the table as an HTML page; None: nothing is written.

    Raises:
        UsageError: there are fewer than two, one is named twice or not finished, or has no image
            in common with the first or a network with other classes; or the runs have read the
            label file in different ways.
        JobFailed: a label file was named, and no image of the runs has a label in it.
    """
    if len(outputs) < 2:
        raise UsageError("name two outputs or more: there is nothing to compare one with")
    sources = _opened(outputs, classes, partial=partial)
    if len({tuple(f.uri for f in source.folders) for source in sources}) < len(sources):
        raise UsageError("an output is named twice")
    label_set = _labels(sources, os.fspath(labels), options)
    with ExitStack() as stack:
        for source in sources:
            stack.enter_context(source.seen.reading())
        found = leaderboard_of(sources, label_set, errors=errors)
    _check_labeled(os.fspath(labels), labeled=found.labeled)
    if page is not None:
        report.write_leaderboard(found, os.fspath(page))
    return found


def _opened(outputs: Sequence[Location], classes: str | None, *, partial: bool) -> list[Source]:
    sources = [open_sources([uri], classes, partial=partial) for uri in texts(outputs)]
    for source in sources:
        if source.note is not None:
            _log.warning(source.note)
    return sources


def _labels(sources: Sequence[Source], labels: str, given: LabelOptions | None) -> LabelSet:
    """What is right, read as all runs record that they have read it."""
    first = sources[0]
    readers = [run for run in sources if has_read(run.record, labels)] or [first]
    one, *others = [run.options([labels], given) for run in readers]
    if any(other != one for other in others):
        raise UsageError(
            f"the runs have read {LabelSpec.parse(labels).public()} with different columns or "
            "indices: say how to read it with --set"
        )
    [found] = label_sets([labels], first.folder, first.class_lines, options=one)
    return found


def _check_labeled(labels: str, *, labeled: bool) -> None:
    spec = LabelSpec.parse(os.fspath(labels))
    if spec.source != EMBEDDED and not labeled:
        raise JobFailed(f"no image in both runs has a label in {spec.public()}: is it of them?")
