"""What quantizing gives: a network, what describes it to score, and a record of its accuracy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from vggbatch.metrics.estimates.intervals import Z95
from vggbatch.metrics.estimates.noninferiority import excess, images_needed
from vggbatch.models.cache import sha256_of
from vggbatch.models.catalog import synset
from vggbatch.models.model import Model
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.quantization.accuracy import Paired
from vggbatch.quantization.sensitivity import LayerNoise, Step
from vggbatch.quantization.versions import Version
from vggbatch.sources import InputWarning
from vggbatch.storage.filesystem import Folder, public_uri
from vggbatch.versions import versions

HARDLY = 0.5
"""A network with less than this share of its multiply-adds in int8 is hardly int8 any more."""
RECORD = ".quantized.json"
"""Suffix of the record, in place of the network's."""


@dataclass(frozen=True)
class Limit:
    """What the images that report say of the drop that is allowed."""

    max_drop: float
    shown: Literal["within", "beyond", "neither"]
    """Whether they show, at 97.5 %, that the drop is less than the limit, or that it is more."""
    images_needed: int
    """About as many show in four of five cases that it is less, if the two networks are equally
    good and part as often."""

    @staticmethod
    def of(max_drop: float, against: Paired) -> Limit:
        """Judge what was measured."""
        counts = (against.only_original, against.only_quantized, against.images, max_drop / 100)
        errors = excess(*counts)
        shown: Literal["within", "beyond", "neither"] = "neither"
        if abs(errors) >= Z95:
            shown = "within" if errors < 0 else "beyond"
        return Limit(max_drop, shown, images_needed(*counts))


@dataclass(frozen=True)
class Quantized:
    """What was written, and what it is worth."""

    calibrated: int
    """Images."""
    chosen_on: int
    """Other images, on which it was decided what stays in fp32; 0 without a limit."""
    reported_on: int
    """Further images, which report; 0 without labels."""
    failed: int
    """Images that could not be read."""
    repeated: int
    """Images with the pixels of another, left out."""
    left_out: tuple[InputWarning, ...]
    """What else is in the input, and in the shards that were opened, by kind."""
    noise: list[LayerNoise]
    """The layers, the worst first."""
    steps: list[Step]
    """With a limit: int8, then with one layer more in fp32 each, on the images that choose."""
    measured: list[Version]
    """With labels: the original, int8, then what is written if layers were left in fp32."""
    at_chance: bool
    """Whether the original is right no more often than by chance, so that int8 has nothing to lose:
    the labels may be of other classes."""
    limit: Limit | None
    left_float: tuple[str, ...]
    """Layers that --max-drop left in fp32."""
    int8_share: float | None
    """Share of the multiply-adds that are int8 in what is written; None: not to be counted."""

    @property
    def hardly_int8(self) -> bool:
        """Whether most of the arithmetic is not int8."""
        return self.int8_share is not None and self.int8_share < HARDLY


def publish(
    model: Model, graph: Path, folder: Folder, base: str, done: Quantized, settings: dict[str, Any]
) -> None:
    """Write the network, what the file does not say of it for score, and the record.

    Args:
        model: the original.
        graph: the int8 network.
        folder: where to.
        base: the network's name there.
        done: what was measured.
        settings: what was asked for.
    """
    _, profile = resolve_profile(model.preprocess)
    described: dict[str, Any] = {
        "layout": model.layout,
        "output": model.output,
        "preprocess": profile.model_dump(mode="json"),
    }
    stem = base.removesuffix(".onnx")
    if model.classes != synset():
        described["classes"] = f"{stem}.classes.txt"
        folder.write_bytes(described["classes"], ("\n".join(model.classes) + "\n").encode())
    folder.write_bytes(f"{stem}.yaml", yaml.safe_dump(described, sort_keys=False).encode())
    record = {
        "file": base,
        "sha256": sha256_of(graph),
        "original": {"name": public_uri(model.name), "sha256": model.sha256},
        "settings": settings,
        "versions": versions(),
        **asdict(done),
        "hardly_int8": done.hardly_int8,
    }
    folder.write_json(f"{stem}{RECORD}", record)
    with folder.open_atomic(base) as file, graph.open("rb") as source:
        while block := source.read(2**23):
            file.write(block)
