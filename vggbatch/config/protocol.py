"""How an image is looked at: the evaluation protocols of Simonyan and Zisserman 2014."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

Crops = Literal["center", "ten", "grid"]


class Protocol(BaseModel):
    """The views of an image whose probabilities (softmax) are averaged.

    A plain name stands for `views`: `protocol: dense` is `protocol: {views: dense}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    views: Literal["center", "ten", "grid", "dense", "grid+dense"] = "center"
    """One center crop; the four corners and the center (Krizhevsky et al. 2012); a 5 x 5 grid
    (section 4.3); the whole image, the dense layers applied at every position (section 3.2); the
    two last together, each counting a half (section 4.3)."""
    scales: tuple[int, ...] | None = None
    """Sizes Q, in pixels, that the image is resized to, all of whose views are averaged. None: the
    `resize` of the preprocessing."""
    flip: bool | None = None
    """Whether every view is taken mirrored as well. None: all but the single center crop are."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        return {"views": data} if isinstance(data, str) else data

    @field_validator("scales", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if value is None:
            return None
        parts = value.split(",") if isinstance(value, str) else value
        try:
            sizes = tuple(map(int, parts if isinstance(parts, list | tuple) else [parts]))
        except (TypeError, ValueError):
            sizes = ()
        if not sizes or not all(1 <= size <= 8192 for size in sizes):
            raise ValueError("sizes of 1 to 8192 pixels are wanted, such as 256,384,512")
        if len(set(sizes)) < len(sizes):
            raise ValueError("a size is named twice")
        return sizes

    @property
    def crops(self) -> Crops | None:
        """Which crops are cut; None where the whole image alone is looked at."""
        if self.views == "dense":
            return None
        return "grid" if self.views == "grid+dense" else self.views

    @property
    def dense(self) -> bool:
        """Whether the network sees the whole image."""
        return self.views.endswith("dense")

    @property
    def mirrored(self) -> tuple[bool, ...]:
        """Of each view: as it is, and mirrored where that is wanted."""
        flip = self.views != "center" if self.flip is None else self.flip
        return (False, True) if flip else (False,)

    @property
    def single(self) -> bool:
        """Whether it is the one center crop that the zoo measures its accuracies on."""
        return self.views == "center" and self.scales is None and len(self.mirrored) == 1
