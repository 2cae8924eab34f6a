"""The zoo's twelve VGG files: names, checksums, graph facts, preprocessing."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from vggbatch import class_list
from vggbatch.errors import UsageError

# libyaml, which PyYAML has wherever it comes as a wheel, is seven times faster
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class ZooFile:
    """One file as the zoo publishes it."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class CatalogEntry:
    """What is known of a zoo model without opening its file (facts in vgg_zoo.yaml)."""

    name: str
    title: str
    opset: int
    weights: ZooFile
    test_data: ZooFile
    input: str | None
    output: str | None
    features: str | None
    """Tensor with the fc7 activations, where the zoo's hub manifest names it."""
    published: dict[str, float] | None
    """`top1` and `top5` on the ILSVRC2012 validation set, in percent."""
    layers: int
    batch_norm: bool
    exporter: Literal["mxnet", "caffe2"]
    quantized: Literal["qoperator", "qdq"] | None
    preprocess: str
    """Name of the preprocessing profile that its published number belongs to."""
    preprocess_source: str
    """Which file says so, or that it is inferred."""
    plausible: tuple[str, ...]
    """The other profiles that it may belong to, likeliest first."""
    output_kind: Literal["logits", "probabilities"]


def _entry(facts: dict[str, Any]) -> CatalogEntry:
    facts = dict(facts)
    weights = ZooFile(**{key: facts.pop(key) for key in ("file", "sha256", "bytes")})
    for port in ("input", "output"):
        facts[port] = facts[port] and facts[port]["name"]
    facts["plausible"] = tuple(facts["plausible"])
    return CatalogEntry(
        **(facts | {"weights": weights, "test_data": ZooFile(**facts["test_data"])})
    )


@cache
def catalog() -> dict[str, CatalogEntry]:
    """The zoo's VGG models by name, in the order of its page."""
    text = files("vggbatch.models").joinpath("vgg_zoo.yaml").read_text()
    return {facts["name"]: _entry(facts) for facts in yaml.load(text, _Loader)}


def entry_named(name: str) -> CatalogEntry:
    """The zoo's model of that name.

    Raises:
        UsageError: there is none; it names the nearest.
    """
    known = catalog()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UsageError(f"no model {name!r} in the zoo: did you mean {near!r}?")
    return known[name]


def synset() -> tuple[str, ...]:
    """The zoo's 1000 classes in output order, `n01440764 tench, Tinca tinca`."""
    return class_list.imagenet()
