"""What nobody stated about a network, and what it was taken for."""

from __future__ import annotations

from dataclasses import dataclass

from vggbatch.config import Preprocess


@dataclass(frozen=True)
class Assumption:
    """One thing that was not stated by the user."""

    what: str
    """`preprocessing`, `layout`, `scores`, `output` or `classes`."""
    value: str
    """What it was taken for."""
    because: str
    """Why, or where that was found."""
    warning: bool = False
    """Whether the results are wrong if it is not true, and nothing supports it."""

    def sentence(self) -> str:
        """As a warning."""
        if self.what == "preprocessing":
            return (
                f"the preprocessing is assumed, {self.value} ({self.because}); accuracy depends on "
                "it: state the network's own, `preprocess:` in the YAML file beside it or "
                "--set model.preprocess=..."
            )
        return f"{self.what} {self.value}: {self.because}"


def in_words(parts: Preprocess) -> str:
    """A preprocessing with its numbers."""
    numbers = {name: " ".join(f"{v:g}" for v in getattr(parts, name)) for name in ("mean", "std")}
    resize = "short side" if parts.resize_mode == "shorter" else "squashed to"
    resizer = "" if parts.resizer == "pillow" else f" of {parts.resizer}"
    return (
        f"{resize} {parts.resize}, {parts.interpolation}{resizer}, crop {parts.crop}, "
        f"{parts.channels}, scale {parts.scale:g}, mean {numbers['mean']}, std {numbers['std']}"
    )
