"""Other labels for an output: a label file that has grown, or metrics of what is scored."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from vggbatch.errors import UsageError
from vggbatch.labels import EMBEDDED, Labels, LabelSpec
from vggbatch.output.layout import Output
from vggbatch.output.reader import open_for_arrow, open_parquet, row_groups

_SHOWN = 3
_OF_METRICS = ("labels", "row_labels", "errors")
"""Settings that say how rows are evaluated, and not what is in them."""


def rescore_instead(output: Output, planned: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The command that gives the metrics without scoring again, where nothing but labels differs.

    Args:
        output: of the run that is there.
        planned: its settings.
        wanted: those of the job.

    Returns:
        A sentence; nothing where the run is not finished or other settings differ too.
    """
    rest = dict.fromkeys(_OF_METRICS)
    specs: list[str] = wanted["labels"]
    if not specs or {**planned, **rest} != {**wanted, **rest} or not output.succeeded():
        return ""
    if any(LabelSpec.parse(spec).source == EMBEDDED for spec in specs):
        return ""
    words = ["vggbatch", "rescore", output.folder.uri]
    for spec in specs:
        words += ["-l", spec]
    command = shlex.join([*words, "-o", "METRICS"])
    return f"All of its images are scored: `{command}` gives the metrics by these labels. "


def check_same_labels(output: Output, labels: Labels, named: str) -> None:
    """Make sure that the rows of an output have the labels that a label file gives them now.

    Args:
        output: complete.
        labels: of the file as it is now.
        named: the file, as it is named.

    Raises:
        UsageError: an image that was scored has another label, one more or one less.
    """
    found: list[str] = []
    for marker in output.progress().groups.values():
        for file in marker["files"]:
            with open_for_arrow(output.folder, file["name"]) as opened:
                for table in row_groups(open_parquet(opened), ["image_id", "label"]):
                    ids = table["image_id"].to_pylist()
                    now = pc.fill_null(labels.match(ids, [None] * len(ids)), -1)
                    then = pc.fill_null(table["label"], -1)
                    found += table["image_id"].filter(pc.not_equal(now, then)).to_pylist()
    if found:
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise UsageError(
            f"{named} has other labels now for images that were scored: "
            f"{', '.join(sorted(found)[:_SHOWN])}{more}. `vggbatch rescore {output.folder.uri} "
            f"-l {named}` gives the metrics of these rows by it; to append, give the images that "
            "were scored the labels that they had"
        )
