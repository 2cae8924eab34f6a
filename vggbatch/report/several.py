"""The page about several outputs that are read as one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from vggbatch.metrics import RECORDED, Evaluation, LabelSet, Metric, evaluate_predictions
from vggbatch.metrics.recorded import labels_to_read
from vggbatch.metrics.rescore import Source
from vggbatch.metrics.sets import label_sets
from vggbatch.metrics.several import open_sources
from vggbatch.report.output import RunOutput
from vggbatch.report.run import GALLERY, run_page
from vggbatch.storage.filesystem import write_file

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JoinedOutput(RunOutput):
    """Outputs as one; their metrics are computed for the whole."""

    lines: tuple[str, ...]
    """The network's classes."""
    sets: tuple[LabelSet, ...]
    """Label sets by which all of them were scored."""
    evaluation: Evaluation | None

    def metrics(self) -> list[Metric]:
        """Of all rows; none where the runs were not evaluated by the same labels."""
        return self.evaluation.metrics if self.evaluation is not None else []

    @property
    def unread_labels(self) -> bool:
        """None: sets whose files are not opened are left out, and said to be."""
        return False

    def profiles(self) -> dict[str, list[Metric]]:
        """None: outputs of further profiles are outputs of their own."""
        return {}

    def table(self, name: str) -> pa.Table | None:
        """A metrics table of the first label set."""
        if self.evaluation is None:
            return None
        first = self.evaluation.results[0]
        own = {
            "per_class": first.per_class,
            "confusions": first.confusions,
            "calibration": first.calibration,
        }
        return (own | first.others).get(name)

    def class_lines(self) -> dict[int, str]:
        """`wnid name` by class index."""
        return dict(enumerate(self.lines))

    def label_set(self, class_lines: dict[int, str]) -> LabelSet:
        """What is right in the tables."""
        return self.sets[0] if self.sets else RECORDED


def write_joined_report(
    outputs: Sequence[str], page: str, *, gallery: int = GALLERY, images: Sequence[str] = ()
) -> str:
    """Write a page about several outputs to a file.

    Args:
        outputs: the outputs, and globs of outputs.
        page: where to.
        gallery: images in each gallery.
        images: where images may be read, see `thumbnails`.

    Returns:
        The page's URI.

    Raises:
        UsageError: they do not belong together (see `open_sources`), or the page cannot be written.
    """
    source = open_sources(outputs)
    with source.seen.reading():
        found = run_page(_joined(source), gallery=gallery, images=images)
    write_file(page, found.encode())
    return page


def _joined(source: Source) -> JoinedOutput:
    specs, unread = labels_to_read(source.record, own=source.own)
    for line in unread:
        _log.warning(line)
    row_labels = source.record.get("row_labels")
    options = source.options(specs)
    sets = label_sets(
        specs, source.folder, source.class_lines, recorded=row_labels, options=options
    )
    evaluation = None
    if sets:
        evaluation = evaluate_predictions(
            source.folder,
            sets,
            class_lines=source.class_lines,
            published=source.published(),
            errors=source.record["config"].get("errors", "wrong"),
        )
    if evaluation is not None and not evaluation.labeled:
        evaluation = None
    return JoinedOutput(
        folder=source.folders[0],
        predictions=source.folder,
        record=source.record,
        succeeded=True,
        seen=source.seen.all,
        own=source.own,
        lines=source.class_lines,
        sets=tuple(sets),
        evaluation=evaluation,
    )
