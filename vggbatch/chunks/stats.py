"""What is counted for each chunk, and added up over groups, runs and resumed runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from itertools import zip_longest
from typing import Annotated

import pyarrow as pa
from pydantic import Field, TypeAdapter

from vggbatch.bounds import Count, Seconds
from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.chunks.throughput import Throughput
from vggbatch.sources.input_warnings import Names, merged

_Shard = Annotated[str, Field(pattern=r"^[0-9]{1,10}$")]
"""The number of a shard."""


@dataclass(frozen=True)
class Stats:
    """Sums over some images. Seconds are of one core's or one actor's time, not of the clock."""

    rows: Count = 0
    errors: dict[str, Count] = field(default_factory=dict)
    """Rows with an error, by kind."""
    image_bytes: Count = 0
    fetch_seconds: Seconds = 0.0
    decode_seconds: Seconds = 0.0
    infer_seconds: Seconds = 0.0
    write_seconds: Seconds = 0.0
    likelihood: LabelLikelihood = field(default_factory=LabelLikelihood)
    """Of the rows that have a label and no error."""
    further: tuple[LabelLikelihood, ...] = ()
    """The same by further recipes, in their order."""
    throughput: Throughput = field(default_factory=Throughput)
    """When the rows were written."""
    left_out: dict[str, Names] = field(default_factory=dict)
    """What is no image in the shards that begin with these rows, by kind."""
    labels: dict[str, Names] = field(default_factory=dict)
    """Labels that came with these images and cannot be used, by kind."""
    content: dict[_Shard, Count] = field(default_factory=dict)
    """Sums over the bytes of images, by the number of their shard (see content.py)."""

    @property
    def error_rows(self) -> int:
        """Rows with an error, of any kind."""
        return sum(self.errors.values())

    def __add__(self, other: Stats) -> Stats:
        summed = {
            f.name: getattr(self, f.name) + getattr(other, f.name)
            for f in fields(self)
            if f.name not in ("errors", "further", "left_out", "labels", "content")
        }
        errors = Counter(self.errors) + Counter(other.errors)
        pairs = zip_longest(self.further, other.further, fillvalue=LabelLikelihood())
        further = tuple(a + b for a, b in pairs)
        left_out = merged(self.left_out, other.left_out)
        return Stats(
            errors=dict(sorted(errors.items())),
            further=further,
            left_out=left_out,
            labels=merged(self.labels, other.labels),
            content=dict(Counter(self.content) + Counter(other.content)),
            **summed,
        )

    @classmethod
    def total(cls, parts: Iterable[Stats]) -> Stats:
        """The sum of many; what is counted by shard is not copied for each of them."""
        summed, content = cls(), Counter[str]()
        for part in parts:
            content.update({shard: value for shard, value in part.content.items() if value})
            summed += replace(part, content={})
        return replace(summed, content=dict(content))

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Stats:
        """From what `to_json` gave. Raises ValueError for what it did not."""
        found = _adapter().validate_json(text, strict=True)
        if not found.throughput.dated:
            raise ValueError("it has images of a time that no run is at")
        return found

    def with_scores(self, *, infer_seconds: float, likelihoods: Sequence[LabelLikelihood]) -> Stats:
        """Add what the classifier knows.

        Args:
            infer_seconds: its time.
            likelihoods: of each recipe.
        """
        first, *further = likelihoods
        return replace(self, infer_seconds=infer_seconds, likelihood=first, further=tuple(further))

    def with_errors(self, errors: pa.Array) -> Stats:
        """Count the kinds in a column of `kind: message`."""
        kinds = Counter(text.partition(":")[0] for text in errors.drop_null().to_pylist())
        return replace(self, errors=dict(sorted(kinds.items())))


@cache
def _adapter() -> TypeAdapter[Stats]:
    return TypeAdapter(Stats)
