"""A job that was checked: the configuration with the model, input and labels it refers to."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

import vggbatch
from vggbatch.classifier import SessionSpec
from vggbatch.config import JobConfig, Preprocess
from vggbatch.errors import UsageError
from vggbatch.models import Model, prepare, resolve
from vggbatch.preprocess.profiles import resolve_profile
from vggbatch.sources import Labels, Shard, discover, load_labels
from vggbatch.sources.labels import EMBEDDED, LabelSpec, MultiLabels
from vggbatch.sources.names import public_uri

_TYPICAL_IMAGE_BYTES = 130_000
"""ILSVRC2012_img_val.tar: 6.3 GB of 50,000 images."""
_CHUNK_SIZES = ((100_000, 32), (10_000_000, 128))
_LARGEST_CHUNK = 256
"""Chunk size by number of images: small runs want even work, large ones fewer staging files."""

_ROWS_PER_FILE = {None: 1_000_000, "float32": 8_192, "float16": 16_384}
"""About 128 MB by the type of the features: 100 bytes a row without them, 16 or 8 kB with them."""


@dataclass(frozen=True)
class Job:
    """What will run: nothing in it depends on the cluster."""

    config: JobConfig
    model: Model
    profile: str
    preprocess: Preprocess
    shards: tuple[Shard, ...]
    labels: Labels | None
    """Of the rows."""
    row_labels: str | None
    """Which of the configuration's labels those are."""

    @property
    def estimated_images(self) -> int:
        """The number of images: listed ones counted, those in shards estimated from bytes."""
        return sum(estimated_images(shard) for shard in self.shards)

    @property
    def chunk_size(self) -> int:
        """Images in a chunk: as configured, else by the size of the input."""
        if self.config.chunk_size is not None:
            return self.config.chunk_size
        images = self.estimated_images
        return next((size for limit, size in _CHUNK_SIZES if images < limit), _LARGEST_CHUNK)

    @property
    def rows_per_file(self) -> int:
        """Rows in a predictions file: as configured, else by the width of a row."""
        if self.config.rows_per_file is not None:
            return self.config.rows_per_file
        return _ROWS_PER_FILE[self.config.features]

    @property
    def crop_bytes(self) -> int:
        """Bytes of one image's crop."""
        return self.preprocess.crop**2 * 3

    def plan(self) -> dict[str, Any]:
        """What decides the content of the output; a run on the same output must have the same."""
        plan = self.config.identity()
        plan["input"] = [public_uri(uri) for uri in self.config.input]
        plan["model"] = self.model_facts()
        plan["preprocess"] = self.preprocess.model_dump(mode="json")
        plan["labels"] = [LabelSpec.parse(spec).public() for spec in self.config.labels]
        plan["row_labels"] = _digest(self.labels)
        plan["shards"] = len(self.shards)
        plan["input_digest"] = input_digest(self.shards)
        return plan

    def public_config(self) -> dict[str, Any]:
        """The resolved configuration, fit to be written down: no URI keeps what may be secret."""
        config = self.config.model_dump(mode="json")
        for key in ("input", "mirrors"):
            config[key] = [public_uri(uri) for uri in config[key]]
        config["labels"] = [LabelSpec.parse(spec).public() for spec in self.config.labels]
        config["output"] = public_uri(config["output"])
        return config

    def model_facts(self) -> dict[str, Any]:
        """The model as run.json records it."""
        return {
            "name": self.model.name,
            "sha256": self.model.sha256,
            "synthetic": self.model.synthetic,
            "output": self.model.output,
            "layout": self.model.layout,
            "classes": len(self.model.classes),
            "classes_sha256": hashlib.sha256("\n".join(self.model.classes).encode()).hexdigest(),
        }

    def groups(self) -> list[tuple[int, int, Shard]]:
        """Shards numbered and put into groups of about `rows_per_file` images, in order."""
        numbered, group, images = [], 0, 0
        for number, shard in enumerate(self.shards):
            size = estimated_images(shard)
            if images and images + size > self.rows_per_file:
                group, images = group + 1, 0
            images += size
            numbered.append((number, group, shard))
        return numbered


def prepare_job(config: JobConfig) -> Job:
    """Check everything that can be checked without running anything.

    Raises:
        UsageError: input, model, labels or profile do not exist or do not fit together.
    """
    if not config.input:
        raise UsageError("no input: name a folder, a shard, a glob or a list file of images")
    model = resolve(config.model, cache_dir=config.cache_dir, mirrors=config.mirrors)
    profile, preprocess = resolve_profile(model.preprocess)
    if model.input_size is not None and model.input_size != (preprocess.crop, preprocess.crop):
        height, width = model.input_size
        raise UsageError(
            f"{model.name} takes {height} x {width} pixels, but preprocessing crops "
            f"{preprocess.crop}: set model.preprocess.crop={height}"
        )
    labels, row_labels = _row_labels(config.labels, model.classes)
    shards = tuple(discover(list(config.input)))
    return Job(config, model, profile, preprocess, shards, labels, row_labels)


def estimated_images(shard: Shard) -> int:
    """Images in a shard: counted where it is a listing, else from its size."""
    if shard.members is not None:
        return int(shard.members.num_rows)
    return max(1, shard.size // _TYPICAL_IMAGE_BYTES)


def input_digest(shards: tuple[Shard, ...]) -> str:
    """A SHA-256 over names, sizes and versions of all that was listed."""
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(json.dumps([shard.name, shard.size, shard.version]).encode())
        if shard.members is not None:
            for column in ("name", "size"):
                digest.update("\0".join(map(str, shard.members[column].to_pylist())).encode())
    return digest.hexdigest()


def open_model(
    model: Model, preprocess: Preprocess, cache_dir: str | None, features: bool
) -> SessionSpec:
    """Get the model file ready on this node, and say how to open it."""
    prepared = prepare(model, cache_dir=cache_dir, features=features)
    return SessionSpec(
        path=str(prepared.path),
        input=prepared.input,
        outputs=prepared.outputs,
        layout=model.layout,
        probabilities=prepared.output_kind == "probabilities",
        preprocess=preprocess,
        optimised=True,
    )


def model_opener(job: Job) -> functools.partial[SessionSpec]:
    """`open_model` bound to a job, to be called on the nodes."""
    features = job.config.features is not None
    return functools.partial(open_model, job.model, job.preprocess, job.config.cache_dir, features)


def versions() -> dict[str, str]:
    """Versions of everything that can change a result."""
    return {
        "vggbatch": vggbatch.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("ray", "onnxruntime", "numpy", "pillow", "pyarrow")},
    }


def _row_labels(specs: Sequence[str], classes: Sequence[str]) -> tuple[Labels | None, str | None]:
    """The labels that the rows get, and their spec; all are read, so that a fault shows at once."""
    chosen: tuple[Labels | None, str | None] = None, None
    for spec in specs:
        labels = load_labels(LabelSpec.parse(spec).source, classes)
        # a row has one label; the metrics match sets of several classes to the image ids
        if chosen[0] is None and not isinstance(labels, MultiLabels):
            chosen = labels, spec
    return chosen


def _digest(labels: Labels | None) -> str | None:
    """Of the content of labels; None without."""
    if labels is None:
        return None
    digest = hashlib.sha256()
    for array in (labels.keys, labels.indices):
        digest.update(EMBEDDED.encode() if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
