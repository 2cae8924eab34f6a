"""Which images of an input are wanted: all, the first ones, a sample, one of several parts."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Selection(BaseModel):
    """Some images of an input. What is chosen follows from the image ids alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int | None = Field(None, ge=1)
    """The first so many images, in the order of the input."""
    sample: int | None = Field(None, ge=1)
    """So many images drawn from all by a hash of their ids: the same ones however the input is
    named, and of a larger sample with the same seed a part."""
    seed: int = 0
    """Of the sample: another seed draws others."""
    part: str | None = None
    """`3/8`: the third of eight parts, which are disjoint and have all images between them: whole
    shards where there are as many as parts, else images. `vggbatch merge` joins their outputs."""

    @model_validator(mode="before")
    @classmethod
    def _seed_of_a_sample(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("seed") and data.get("sample") is None:
            raise ValueError("seed is of a sample: give sample too")
        return data

    @field_validator("part")
    @classmethod
    def _numbered(cls, value: str | None) -> str | None:
        if value is None:
            return None
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"a part is K/N with K from 1 to N, such as 3/8, not {value!r}")
        return f"{int(found[1])}/{int(found[2])}"

    @model_validator(mode="after")
    def _one_way(self) -> Selection:
        if self.limit is not None and self.sample is not None:
            raise ValueError("limit and sample exclude each other")
        return self

    @property
    def everything(self) -> bool:
        """Whether all images are wanted."""
        return self.limit is None and self.sample is None and self.part is None

    @property
    def some(self) -> bool:
        """Whether images are wanted that say less than all: a part of all is none of those."""
        return self.limit is not None or self.sample is not None

    @property
    def place(self) -> tuple[int, int] | None:
        """The part as its number from 1 and how many there are."""
        if self.part is None:
            return None
        number, _, count = self.part.partition("/")
        return int(number), int(count)

    def in_words(self) -> str:
        """For a message: `a sample of 100 (seed 0), part 3 of 8`."""
        words = []
        if self.limit is not None:
            words.append(f"the first {self.limit:,}")
        if self.sample is not None:
            words.append(f"a sample of {self.sample:,} (seed {self.seed})")
        if self.place is not None:
            words.append("part {} of {}".format(*self.place))
        return ", ".join(words) or "all"
