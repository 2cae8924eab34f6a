"""What a run has left: its rows, its record, metrics again and pages.

An output is named by its folder or URI, and read with no inference.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from vggbatch import report, uris
from vggbatch.api.locations import texts
from vggbatch.config import LabelOptions, Location
from vggbatch.errors import UsageError
from vggbatch.html_table import link
from vggbatch.metrics import Evaluation
from vggbatch.metrics.rescore import rescore as rescore_source
from vggbatch.metrics.rows import prediction_files
from vggbatch.metrics.several import open_sources, outputs_named
from vggbatch.metrics.summary import ErrorPolicy
from vggbatch.output.checks.unchanged import Seen
from vggbatch.output.layout import Output
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.reader import naming_damage, open_for_arrow, open_parquet, read_table
from vggbatch.output.verify import believe
from vggbatch.report.run import GALLERY
from vggbatch.runs.progress.status import Status, read_status
from vggbatch.runs.revisions.settling import settle
from vggbatch.storage.filesystem import Folder

_log = logging.getLogger(__name__)


class Page(str):
    """Where a page was written, which a notebook shows as a link."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return link(self, self.rpartition("/")[2])


def load_predictions(
    output: Location, columns: Sequence[str] | None = None, *, partial: bool = False
) -> pa.Table:
    """The predictions of a run, as one Arrow table.

    Args:
        output: output of the run.
        columns: which; None: all.
        partial: take those of an unfinished run too, with a warning that says how many they are.

    Raises:
        UsageError: the run is not finished, there are no predictions, one is damaged, or they lack
            a column.
    """
    folder = Folder(output)
    check_confined(folder)
    chosen = list(columns) if columns is not None else None
    tables: list[pa.Table] = []
    with Seen.of(folder).reading():
        _warn(believe(folder, partial=partial))
        for name in prediction_files(folder):
            with open_for_arrow(folder, name) as file, naming_damage(folder, name):
                if chosen and not tables:
                    _check_columns(chosen, open_parquet(file).schema_arrow.names)
                tables.append(read_table(file, chosen))
    return pa.concat_tables(tables).unify_dictionaries()


def _check_columns(wanted: Sequence[str], there: Sequence[str]) -> None:
    """Refuse columns that predictions do not have, with the nearest ones."""
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=2, cutoff=0.3)
            meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise UsageError(f"no column {name!r}: {meant}There are {', '.join(there)}")


def load_run(output: Location) -> dict[str, Any]:
    """The content of a finished run's run.json.

    Raises:
        UsageError: the run is not finished, or files that it lists are missing or damaged.
    """
    believe(Folder(output))
    return Output(Folder(output)).read_run()


def status(output: Location) -> Status:
    """How far a run is, from its output alone and from any machine.

    >>> status("out").state
    'complete'

    Raises:
        UsageError: it is not the output of a run.
    """
    return read_status(Folder(output))


def rescore(
    predictions: Location | Sequence[Location],
    labels: Location | Sequence[Location],
    output: Location | None = None,
    *,
    errors: ErrorPolicy = "wrong",
    classes: str | None = None,
    partial: bool = False,
    options: LabelOptions | None = None,
    max_error_rate: float | None = None,
) -> Evaluation:
    """Metrics again from saved predictions, with other labels; no inference.

    >>> evaluation = rescore("out", "labels.csv")
    >>> evaluation.metrics[0].n
    3

    Args:
        predictions: output of a run, or several that are read as one; globs too.
        labels: label sets, each `[NAME=]LABELS[@SUBSET]`.
        output: gets metrics/ and run.json; None: nothing is written.
        errors: what a labeled image that could not be scored counts as.
        classes: the network's class file, where run.json does not list its classes.
        partial: take the rows of an unfinished run, with a warning that says how many they are.
        options: how label files are to be read; else as the run has read them, if it has.
        max_error_rate: 1 allows that no image has a label; None: as in the run.

    Raises:
        UsageError: the run is not finished, no predictions, unreadable labels, or an output that
            holds a run; or several that do not belong together.
        JobFailed: no image has a label.
    """
    source = open_sources(texts(predictions), classes, partial=partial)
    _warn(source.note)
    target = Folder(output) if output is not None else None
    return rescore_source(
        source, texts(labels), target, errors=errors, options=options, max_error_rate=max_error_rate
    )


def write_report(
    output: Location | Sequence[Location],
    *,
    page: Location | None = None,
    against: Location | None = None,
    classes: str | None = None,
    gallery: int = GALLERY,
    images: Sequence[Location] = (),
) -> Page:
    """Write a page about a finished run into its output: report.html, or comparison.html.

    Of several outputs as one, the page goes to a file.

    >>> write_report("evaluated").rsplit("/", 1)[-1]
    'report.html'

    Args:
        output: output of a run, or of `rescore`; or several of runs, globs too.
        page: where the page of several goes.
        against: output of the reference run to compare it with.
        classes: the networks' class file, where it is not the project's; for comparisons.
        gallery: images in each gallery.
        images: folders or URIs below which images may be read for a run that was not recorded by
            this user on this machine; of one that was, all are.

    Returns:
        The page's URI, a text.

    Raises:
        UsageError: a run is not finished, the two have no image in common, a folder of images is
            not there, or `classes` is given without `against`; or several outputs do not belong
            together.
    """
    places = texts(images)
    for folder in places:
        if uris.is_local(folder) and not os.path.exists(uris.local_path(folder)):
            raise UsageError(f"no such folder of images: {folder}")
    if against is None and classes is not None:
        raise UsageError(
            "a class file counts for comparisons alone (--against): the page of one run has "
            "the classes that its run.json lists"
        )
    named = outputs_named(texts(output))
    if len(named) > 1 or page is not None:
        return Page(_joined_report(named, page, against, gallery, places))
    settle(Output(Folder(named[0])))
    if against is None:
        return Page(report.write_report(Folder(named[0]), gallery=gallery, images=places))
    return Page(
        report.write_comparison(
            Folder(against), Folder(named[0]), classes=classes, gallery=gallery, images=places
        )
    )


def _joined_report(
    outputs: Sequence[str],
    page: Location | None,
    against: Location | None,
    gallery: int,
    images: Sequence[str],
) -> str:
    if against is not None:
        raise UsageError(
            "two outputs are compared in detail, one against the other: merge several, or see "
            "compare --html"
        )
    if page is None:
        raise UsageError(
            f"{len(outputs)} outputs have no common place for a page: name a file with -o FILE"
        )
    return report.write_joined_report(outputs, os.fspath(page), gallery=gallery, images=images)


def _warn(note: str | None) -> None:
    if note is not None:
        _log.warning(note)
