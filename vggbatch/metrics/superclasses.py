"""Accuracy by kind of thing: the classes that WordNet puts below one word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import chain

import numpy as np
import pyarrow as pa

from vggbatch.metrics.estimates.intervals import wilson_each
from vggbatch.metrics.partial import Partial
from vggbatch.metrics.summary import ErrorPolicy
from vggbatch.models.catalog import synset

SUPERCLASSES_SCHEMA = pa.schema(
    [
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("classes", pa.int32(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("top1", pa.float64()),
        pa.field("top1_low", pa.float64()),
        pa.field("top1_high", pa.float64()),
        pa.field("top5", pa.float64()),
        pa.field("same_kind", pa.float64()),
    ]
)


@cache
def superclasses() -> dict[tuple[str, str], frozenset[str]]:
    """WordNet ids of classes by id and name of what they are kinds of (superclasses.tsv)."""
    text = (files("vggbatch.metrics") / "subsets" / "superclasses.tsv").read_text()
    ids = [line.split(" ", 1)[0] for line in synset()]
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        wnid, ranges, name = line.split("\t")
        ends = [part.split("-") for part in ranges.split(",")]
        members = (ids[int(end[0]) : int(end[-1]) + 1] for end in ends)
        found[wnid, name] = frozenset(chain.from_iterable(members))
    return found


def superclass_table(
    sums: Partial, class_lines: Sequence[str], errors: ErrorPolicy = "wrong"
) -> pa.Table:
    """metrics/superclasses: a row for each kind that has images, in the order of the file.

    A class is in all its kinds: a terrier is a dog, a mammal and an animal. Percentages over the
    images whose label is of the kind; `same_kind`: those whose first prediction is of it too,
    right or wrong; null where images accept several classes.

    Args:
        sums: over all rows.
        class_lines: `wnid name` for each class; classes that WordNet's list lacks are in no kind.
        errors: see `summarize`.
    """
    wnids = np.array([line.split(" ", 1)[0] for line in class_lines])
    counts = sums.classes
    n = counts.n + (counts.failed if errors == "wrong" else 0)
    label, predicted = np.divmod(sums.confusions.key, len(wnids))
    rows = []
    for (wnid, name), members in superclasses().items():
        inside = np.isin(wnids, list(members))
        images = int(n[inside].sum())
        if not images:
            continue
        confused = sums.confusions.count[inside[label] & inside[predicted]].sum()
        right = counts.top1[inside].sum()
        low, high = wilson_each(np.array([right]), np.array([images]))
        rows.append(
            {
                "wnid": wnid,
                "name": name,
                "classes": int(inside.sum()),
                "n": images,
                "top1": 100 * right / images,
                "top1_low": 100 * low[0],
                "top1_high": 100 * high[0],
                "top5": 100 * counts.top5[inside].sum() / images,
                "same_kind": None if sums.several else 100 * (right + confused) / images,
            }
        )
    return pa.Table.from_pylist(rows, schema=SUPERCLASSES_SCHEMA)
