"""A job that was checked: the configuration with the model, input and labels it refers to."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vggbatch import uris
from vggbatch.classifier.provider import Provider
from vggbatch.config import JobConfig, Preprocess, Protocol
from vggbatch.errors import UsageError
from vggbatch.job.known_images import known_images
from vggbatch.job.own_classes import with_own_classes
from vggbatch.labels import (
    EMBEDDED,
    Classes,
    Labels,
    LabelSpec,
    MultiLabels,
    load_classes,
    load_labels,
)
from vggbatch.models.cache import check_cache, trust_cache
from vggbatch.models.inspection.assumption import Assumption
from vggbatch.models.model import Model
from vggbatch.models.resolve import resolve
from vggbatch.output.image_total import estimated_images
from vggbatch.pipeline.recipes import (
    Recipe,
    bytes_of_image,
    expand_profiles,
    recipes_of,
    work_of_image,
)
from vggbatch.sources import InputWarning, Shard, select, survey
from vggbatch.sources.input_warnings import Names
from vggbatch.sources.tables.columns import Reading
from vggbatch.storage.filesystem import public_uri

_log = logging.getLogger(__name__)

_CHUNK_SIZES = ((500, 8), (2_000, 16), (100_000, 32), (10_000_000, 128))
_LARGEST_CHUNK = 256
"""Chunk size by number of images: small runs want early results and even work (which makes up
for the 1.4 % that 8 cost an int8 network against 16), large ones fewer staging files."""
_SMALLEST_CHUNK = 4
"""However many views an image has: smaller ones would drown a run in staging files."""

_ROWS_PER_FILE = {None: 1_000_000, "float32": 8_192, "float16": 16_384}
"""About 128 MB by the type of the features: 100 bytes a row without them, 16 or 8 kB with them."""


@dataclass(frozen=True)
class Job:
    """What will run: nothing in it depends on the cluster."""

    config: JobConfig
    models: tuple[Model, ...]
    """The network, or the networks of an ensemble."""
    recipes: tuple[Recipe, ...]
    """What is scored in one pass; the first one's output is the run's own."""
    shards: tuple[Shard, ...]
    labels: Labels | None
    """Of the rows."""
    row_labels: str | None
    """Which of the configuration's labels those are."""
    input_warnings: tuple[InputWarning, ...] = ()
    """What is odd about the input."""
    left_out: Mapping[str, Names] = field(default_factory=dict)
    """What of the input is neither image nor shard, by kind."""
    whole: str | None = None
    """Of a part: a digest of the names and sizes in the whole input."""

    @property
    def model(self) -> Model:
        """The network, of an ensemble the first."""
        return self.models[0]

    @property
    def profile(self) -> str:
        """The name of the first recipe's profile."""
        return self.recipes[0].profile

    @property
    def preprocess(self) -> Preprocess:
        """Of the first recipe and network."""
        return self.recipes[0].preprocess[0]

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """What nobody stated about the networks, and what it was taken for."""
        found = (assumption for model in self.models for assumption in model.assumptions)
        # with profiles the recipe is the user's
        given = {"preprocessing"} if self.config.profiles else set()
        return tuple(dict.fromkeys(one for one in found if one.what not in given))

    @property
    def protocol(self) -> Protocol:
        """The views of each image."""
        return self.config.protocol

    @property
    def provider(self) -> Provider | None:
        """What computes the networks; None for onnxruntime's own CPU kernels."""
        compute = self.config.compute
        return Provider.named(compute.provider, compute.provider_options, here=False)

    @property
    def estimated_images(self) -> int:
        """The number of images, estimated where it takes opening a shard to know."""
        return sum(estimated_images(shard) for shard in self.shards)

    @property
    def chunk_size(self) -> int:
        """Images in a chunk: as configured, else by the size of the input."""
        if self.config.chunk_size is not None:
            return self.config.chunk_size
        images = self.estimated_images
        size = next((size for limit, size in _CHUNK_SIZES if images < limit), _LARGEST_CHUNK)
        return max(_SMALLEST_CHUNK, int(size / self.work))

    @property
    def rows_per_file(self) -> int:
        """Rows in a predictions file: as configured, else by the width of a row."""
        if self.config.rows_per_file is not None:
            return self.config.rows_per_file
        return _ROWS_PER_FILE[self.config.features]

    @property
    def resized_bytes(self) -> int:
        """Bytes of one image on its way to the classifier."""
        return bytes_of_image(self.recipes, self.protocol)

    @property
    def work(self) -> float:
        """What an image costs, in single crops of one network."""
        return work_of_image(self.recipes, self.protocol)

    @property
    def labels_digest(self) -> str | None:
        """A digest of the labels that rows get; None where they get none."""
        return self.labels.digest() if self.labels is not None else None

    def plan(self) -> dict[str, Any]:
        """What decides the content of the output; a run on the same output must have the same."""
        plan = self.config.identity()
        plan["input"] = [public_uri(uris.resolved(uri)) for uri in self.config.input]
        names = self.config.indices.names
        plan["indices"]["names"] = public_uri(names) if names else None
        plan["model"], *plan["ensemble"] = self.model_facts()
        first, *others = ([p.model_dump(mode="json") for p in r.preprocess] for r in self.recipes)
        plan["preprocess"], *plan["ensemble_preprocess"] = first
        plan["profiles_preprocess"] = others
        plan["labels"] = [LabelSpec.parse(spec).public() for spec in self.config.labels]
        plan["row_labels"] = self.labels_digest
        plan["shards"] = len(self.shards)
        plan["input_digest"] = input_digest(self.shards)
        if self.whole is not None:
            plan["whole_input"] = self.whole
        return plan

    def public_config(self) -> dict[str, Any]:
        """The resolved configuration, fit to be written down: no URI keeps what may be secret."""
        config = self.config.model_dump(mode="json")
        for key in ("input", "mirrors"):
            config[key] = [public_uri(uri) for uri in config[key]]
        names = config["indices"]["names"]
        config["indices"]["names"] = public_uri(names) if names else None
        config["labels"] = [LabelSpec.parse(spec).public() for spec in self.config.labels]
        config["output"] = public_uri(config["output"])
        for network in (config["model"], *config["ensemble"]):
            network["name"] = public_uri(network["name"])
            network["classes"] = network["classes"] and public_uri(network["classes"])
        return config

    def model_facts(self) -> list[dict[str, Any]]:
        """The networks as run.json records them."""
        return [
            {
                "name": model.name,
                "sha256": model.sha256,
                "synthetic": model.synthetic,
                "output": model.output,
                "layout": model.layout,
                "classes": len(model.classes),
                "classes_sha256": hashlib.sha256("\n".join(model.classes).encode()).hexdigest(),
            }
            for model in self.models
        ]

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
        UsageError: input, model, labels or profile do not exist or do not fit together, or
            somebody else could replace what is in the cache.
    """
    if not config.input:
        raise UsageError("no input: name a folder, a shard, a glob or a list file of images")
    if config.cache_trusted:
        trust_cache(config.cache_dir)
    check_cache(config.cache_dir)
    Provider.named(config.compute.provider, config.compute.provider_options, here=False)
    models = tuple(
        resolve(options, cache_dir=config.cache_dir, mirrors=config.mirrors)
        for options in (config.model, *config.ensemble)
    )
    model = models[0]
    for other in models[1:]:
        if other.classes != model.classes:
            raise UsageError(
                f"{other.name} has other classes than {model.name}: they make no ensemble"
            )
    if config.features == "float16":
        _log.warning(
            "features as float16: Spark can then read no column of the files, and Delta Lake "
            "refuses them; features=float32 is read by all"
        )
    config = expand_profiles(config, models)
    recipes = recipes_of(config, models)
    classes = load_classes(model.classes, config.indices)
    embedded = any(LabelSpec.parse(spec).source == EMBEDDED for spec in config.labels)
    reading = Reading(config.columns, classes, labels=embedded)
    # listed after the labels are read, whose faults show at once, unless they need the images
    listed = functools.cache(lambda: survey(list(config.input), reading))
    labels, row_labels = _row_labels(
        config, classes, lambda: [image.image_id for image in known_images(listed().shards)]
    )
    found = listed()
    shards = tuple(select(found.shards, config.select))
    input_warnings = found.input_warnings
    if labels is not None:
        labels, odd = with_own_classes(labels, found.shards)
        input_warnings += odd
    return Job(
        config=config,
        models=models,
        recipes=recipes,
        shards=shards,
        labels=labels,
        row_labels=row_labels,
        input_warnings=input_warnings,
        left_out=found.left_out,
        whole=whole_digest(found.shards) if config.select.part else None,
    )


def input_digest(shards: Iterable[Shard]) -> str:
    """A SHA-256 over names, sizes and versions of all that was listed."""
    return _digest((shard, [shard.name, shard.size, shard.version]) for shard in shards)


def whole_digest(shards: Iterable[Shard]) -> str:
    """The same without versions: the parts of an input that is copied meanwhile have one."""
    return _digest((shard, [shard.name, shard.size]) for shard in shards)


def _digest(shards: Iterable[tuple[Shard, list[Any]]]) -> str:
    digest = hashlib.sha256()
    for shard, facts in shards:
        digest.update(json.dumps(facts).encode())
        if shard.members is not None:
            for column in ("name", "size"):
                digest.update("\0".join(map(str, shard.members[column].to_pylist())).encode())
    return digest.hexdigest()


def _row_labels(
    config: JobConfig, classes: Classes, images: Callable[[], Iterable[str]]
) -> tuple[Labels | None, str | None]:
    """The labels that the rows get, and their spec; all are read, so that a fault shows at once.

    A row has one label. Embedded ones are those if they are among the sets, for they come with the
    images alone; other sets are matched to the image ids for the metrics.
    """
    chosen: tuple[Labels | None, str | None] = None, None
    for spec in config.labels:
        labels = load_labels(LabelSpec.parse(spec).source, classes, config.columns, images)
        if isinstance(labels, MultiLabels):
            continue
        if chosen[0] is None or (labels.keys is None and chosen[0].keys is not None):
            chosen = labels, spec
    return chosen
