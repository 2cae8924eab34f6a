"""What a page says of single classes and of pairs of them, with the images behind each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from vggbatch.metrics.partial import BINS
from vggbatch.report.formats import ClassName
from vggbatch.report.groups import Group
from vggbatch.report.scan import Scan

_CONFUSIONS = 200
"""Pairs listed: what follows are pairs of few images."""
_FEWEST = 2
"""Images of a class that is listed: of one image the accuracy is 0 or 100 %, and noise."""


def classes_of(per_class: pa.Table | None) -> tuple[list[dict[str, Any]], int]:
    """The classes that have several images, the worst first; and how many have only one."""
    rows = per_class.to_pylist() if per_class is not None else []
    listed = sorted((row for row in rows if row["n"] >= _FEWEST), key=lambda row: row["top1"])
    return listed, sum(row["n"] == 1 for row in rows)


def confusions_of(confusions: pa.Table | None, per_class: pa.Table | None) -> list[dict[str, Any]]:
    """The most frequent pairs, each with its share of the label's images.

    Labels with one image are left out: their pairs are single mistakes.
    """
    if confusions is None or per_class is None:
        return []
    images = dict(zip(*(per_class[name].to_pylist() for name in ("class_index", "n")), strict=True))
    rows = []
    for row in confusions.slice(0, 50 * _CONFUSIONS).to_pylist():
        if images.get(row["label"], 0) >= _FEWEST:
            rows.append({**row, "share": 100 * row["count"] / images[row["label"]]})
        if len(rows) == _CONFUSIONS:
            break
    return rows


def predicted_of(found: Scan) -> list[dict[str, Any]]:
    """What was seen, where nothing is known of what is right: classes by their images."""
    return [
        {"class_index": cls, "n": n, "confidence": found.confidence[cls] / n}
        for cls, n in found.predicted.most_common()
    ]


def groups_of(
    found: Scan,
    classes: Sequence[dict[str, Any]],
    confusions: Sequence[dict[str, Any]],
    predicted: Sequence[dict[str, Any]],
    names: Mapping[int, str],
) -> dict[str, list[Group]]:
    """The images behind each class, confusion and reliability bin, in the order of the tables.

    Args:
        found: the pass over the predictions.
        classes: the listed classes.
        confusions: the listed pairs.
        predicted: the classes of a run without metrics.
        names: `wnid name` by class index.
    """
    shown = found.shown
    return {
        "Classes": [
            Group(f"class{cls}", ClassName.of(names[cls]).full, shown.classes.examples(cls))
            for cls in (row["class_index"] for row in classes)
        ]
        + [
            Group(f"class{cls}", ClassName.of(names[cls]).full, shown.predicted.examples(cls))
            for cls in (row["class_index"] for row in predicted)
        ],
        "Confusions": [
            Group(f"pair{label}-{seen}", _pair_name(names[label], names[seen]), examples)
            for label, seen in ((row["label"], row["predicted"]) for row in confusions)
            if (examples := shown.pair(label, seen))
        ],
        "Reliability bins": [
            Group(f"bin{number}", _bin_name(number), shown.bins.examples(number))
            for number in sorted(shown.bins.kept)
        ],
    }


def _bin_name(number: int) -> str:
    return f"Probability {number / BINS:.2f} to {(number + 1) / BINS:.2f}"


def _pair_name(label: str, predicted: str) -> str:
    return f"{ClassName.of(label).full} → {ClassName.of(predicted).full}"
