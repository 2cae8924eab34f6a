"""The way of an image, from its shard to a row of Parquet; an executor puts the stages together.

    index     a shard's members, without their bytes, cut into chunks
    decode    a chunk's bytes -> pictures in one buffer
    classify  an onnxruntime actor on cores of its own: pictures -> top-5
    write     the chunk's rows -> one staging file under a name of its own

Each stage takes and gives tables of one row, a chunk (see chunk.py). A stage that fails does not
raise, for Ray would repeat it without end or drop the chunk without a word: the chunk becomes a
ChunkResult with a `failure`, which the later stages hand through and the run acts on (see run.py).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vggbatch.chunks import chunk as chunks
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.chunks.result import ChunkResult, is_result
from vggbatch.chunks.stats import Stats
from vggbatch.chunks.throughput import Throughput
from vggbatch.config import DecodeOptions, Protocol
from vggbatch.errors import ImageError, VggbatchError
from vggbatch.labels import Labels
from vggbatch.output.layout import Output
from vggbatch.output.schema import TOP_K
from vggbatch.output.writer import predictions_table, with_profile, write_part
from vggbatch.pipeline.content_check import checksum
from vggbatch.pipeline.in_order import Timed, in_order
from vggbatch.pipeline.recipes import Recipe, pictures_for, resize_specs
from vggbatch.pipeline.run_logging import RunLogger, chunk_fields
from vggbatch.preprocess.image_buffer import ImageBuffer, ImageResizer
from vggbatch.preprocess.isolated import IsolatedDecoder
from vggbatch.preprocess.transform import Pixels, pixel_type
from vggbatch.sources import reader_for
from vggbatch.sources.input_warnings import NO_CLASS, LeftOut
from vggbatch.versions import check_versions

if TYPE_CHECKING:
    from vggbatch.classifier import Classifier, NetworkSpec

BAD_SCORES = "bad_scores: the network gives NaN or infinity for this image"


@dataclass(frozen=True)
class StageContext:
    """Everything the stages need to know; small, and pickled into each of them."""

    output: Output
    chunk_size: int
    recipes: tuple[Recipe, ...]
    """The first one's predictions are the output's own."""
    protocol: Protocol
    decode: DecodeOptions
    classes: tuple[str, ...]
    open_networks: Callable[[], list[NetworkSpec]]
    """Called on the node where a classifier starts: gets the model files ready there."""
    threads: int
    micro_batch: int | None
    pin: bool
    features: str | None
    run_id: str
    """Names the run in log lines."""
    versions: Mapping[str, str]
    """The driver's, of what changes a result (see node_report.py)."""
    labels: Labels | Callable[[], Labels] | None = None
    """The labels, or what gives them where a stage runs; None for unlabeled input."""
    isolate: bool = False
    """Decode each image in a process of its own, where an earlier pass lost its workers."""

    def without_networks(self) -> StageContext:
        """The same for stages that need none, and so need not import what opens them."""
        return replace(self, open_networks=_no_networks)

    @property
    def pictures(self) -> ImageResizer:
        """What decoding makes of an image."""
        return ImageResizer(self.decode, resize_specs(self.recipes), self.protocol)


def _no_networks() -> list[NetworkSpec]:
    raise NotImplementedError("this stage was given none")


def index(table: pa.Table, context: StageContext) -> Iterator[pa.Table]:
    """Shards -> chunks. Chunks that the column `done` names are committed already and left out."""
    cache = context.output.index_folder()
    finished = table["done"].to_pylist()
    for (number, group, shard), done in zip(chunks.shards_of(table), finished, strict=True):
        started = time.perf_counter()
        try:
            members = reader_for(shard.format).members(shard, cache)
        except Exception as error:
            yield _failed("index", ChunkKey(group, number, -1, -1, -1), error, context)
            continue
        fields = {"group": group, "shard": number, "name_of_shard": shard.name}
        fields |= {"images": members.num_rows, "seconds": round(time.perf_counter() - started, 3)}
        RunLogger(__name__, context.run_id).info("shard indexed", extra=fields)
        skip = set(done)
        for part in chunks.split(number, group, shard, members, context.chunk_size):
            if chunks.key_of(part).chunk not in skip:
                yield part


def decode(
    table: pa.Table,
    context: StageContext,
    contents: Iterator[bytes | ImageError] | None = None,
    threads: int = 1,
) -> pa.Table:
    """A chunk's bytes -> `rows`, one for every image, and pictures of those without an error.

    `pixels0` and `sizes0` are the resized images of the first resize specification as in an
    ImageBuffer, and so on; of a single center crop, the crops in row order.

    Args:
        table: the chunk.
        context: what the stages need to know.
        contents: what is read of the chunk already; None: it is read here.
        threads: that decode, beside the one that reads.
    """
    _, _, shard = next(chunks.shards_of(table))
    members = shard.members
    assert members is not None, "a chunk carries its members"
    packers = context.pictures.packers(members.num_rows)
    errors: list[str | None] = []
    image_bytes, content = 0, 0
    ids = shard.image_ids(members)
    started = time.perf_counter()
    with _maker(context) as make:
        if contents is None:
            contents = reader_for(shard.format).read(shard, members, context.decode.max_bytes)
        timed = Timed(contents)
        named = zip(ids, timed, strict=True)
        for decoded in in_order(functools.partial(_decoded, make), named, threads):
            image_bytes += decoded.size
            content += decoded.checksum
            errors.append(decoded.error)
            for packer, pictures in zip(packers, decoded.pictures, strict=decoded.error is None):
                packer.add(pictures)
    fetch_seconds = timed.seconds
    labels = pa.nulls(len(ids), pa.int32())
    no_class = LeftOut()
    if context.labels is not None:
        known, tokens = _labels(context), members["label"].to_pylist()
        labels = known.match(ids, tokens)
        for image_id, token in known.without_class(ids, tokens):
            no_class.add(NO_CLASS, f"{image_id} ({token})")
    rows = pa.StructArray.from_arrays(
        [
            pa.array(ids, pa.string()),
            pa.array(shard.sources(members), pa.string()),
            labels,
            pa.array(errors, pa.string()),
        ],
        fields=list(chunks.ROW),
    )
    stats = Stats(
        rows=len(ids),
        image_bytes=image_bytes,
        fetch_seconds=fetch_seconds,
        decode_seconds=time.perf_counter() - started - fetch_seconds,
        left_out=chunks.left_out_in(table),
        labels=no_class.kinds,
        content={str(chunks.key_of(table).shard): content},
    )
    columns = {"rows": chunks.list_of(rows), "stats": pa.array([stats.to_json()])}
    for number, packer in enumerate(packers):
        packed = packer.packed()
        columns[f"pixels{number}"] = chunks.bytes_of(packed.flat)
        columns[f"sizes{number}"] = chunks.bytes_of(packed.sizes)
    return chunks.with_columns(table.select(chunks.KEY), **columns)


@dataclass(frozen=True)
class _Decoded:
    """What an image's bytes gave."""

    size: int = 0
    checksum: int = 0
    pictures: list[list[Pixels]] = field(default_factory=list)
    error: str | None = None


def _decoded(
    make: Callable[[bytes], list[list[Pixels]]], named: tuple[str, bytes | ImageError]
) -> _Decoded:
    name, data = named
    if isinstance(data, ImageError):
        return _Decoded(error=str(data))
    known = _Decoded(len(data), checksum(name, data))
    try:
        return replace(known, pictures=make(data))
    except ImageError as error:
        return replace(known, error=str(error))


def _labels(context: StageContext) -> Labels:
    assert context.labels is not None, "asked for where there are labels"
    return context.labels if isinstance(context.labels, Labels) else context.labels()


def _maker(
    context: StageContext,
) -> contextlib.AbstractContextManager[Callable[[bytes], list[list[Pixels]]]]:
    """Image bytes -> pictures, in this process or in one of its own."""
    maker = context.pictures
    return IsolatedDecoder(maker) if context.isolate else contextlib.nullcontext(maker)


class Classify:
    """The classifier actor: opens the model on its node once, then takes chunk after chunk."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.classifier: Classifier | None = None
        self.failure: Exception | None = None
        started = time.perf_counter()
        try:
            # here, as the other stages do without: it takes half a second of each process
            from vggbatch.classifier import Classifier

            self.classifier = Classifier(
                context.open_networks(),
                context.protocol,
                threads=context.threads,
                micro_batch=context.micro_batch,
                pin=context.pin,
            )
        except Exception as error:
            # Ray would start this actor again and again; its chunks report it to the run instead
            self.failure = error
        else:
            claim = self.classifier.claim
            fields: dict[str, Any] = {"seconds": round(time.perf_counter() - started, 3)}
            fields |= {"threads": context.threads, "cores": claim.cores if claim else None}
            RunLogger(__name__, context.run_id).info("classifier started", extra=fields)

    def share(self) -> Classify:
        """Another one on the same open networks, for another thread of this process."""
        other = copy.copy(self)
        other.classifier = self.classifier and self.classifier.share()
        return other

    def __call__(self, table: pa.Table) -> pa.Table:
        """Classify one chunk."""
        return capture_failure(table, stage=self.classify, context=self.context)

    def classify(self, table: pa.Table, context: StageContext) -> pa.Table:
        """Pictures -> each recipe's predictions of the images without an error, in row order."""
        if self.classifier is None:
            assert self.failure is not None
            raise self.failure
        started = time.perf_counter()
        rows = chunks.rows_of(table)
        valid = rows.field("label").filter(rows.field("error").is_null())
        labels = valid.fill_null(-1).to_numpy(zero_copy_only=False)
        packed = [
            self._packed(table, number) for number in range(len(resize_specs(context.recipes)))
        ]
        predictions = [
            self.classifier(
                pictures_for(recipe, context.recipes, packed), recipe.preprocess, labels
            )
            for recipe in context.recipes
        ]
        # an image has one error, whichever recipe gave it
        good = ~np.logical_or.reduce([found.bad for found in predictions])
        columns = {"rows": chunks.list_of(chunks.with_errors(rows, ~good, BAD_SCORES))}
        for number, found in enumerate(predictions):
            columns[f"index{number}"] = chunks.bytes_of(found.index[good])
            columns[f"probability{number}"] = chunks.bytes_of(found.probability[good])
            if found.features is not None:
                columns[f"features{number}"] = chunks.bytes_of(found.features[good])
        stats = Stats.from_json(table["stats"][0].as_py()).with_scores(
            infer_seconds=time.perf_counter() - started,
            likelihoods=[
                LabelLikelihood.of(found.label_nll[good], found.beyond.keep(good))
                for found in predictions
            ],
        )
        columns["stats"] = pa.array([stats.to_json()])
        return chunks.with_columns(table.select(chunks.KEY), **columns)

    def _packed(self, table: pa.Table, number: int) -> ImageBuffer:
        sizes = chunks.array_of(
            table[f"sizes{number}"], np.int32, (-1, self.context.pictures.scales, 2)
        )
        dtype = pixel_type(self.context.pictures.resize_specs[number])
        return ImageBuffer(chunks.array_of(table[f"pixels{number}"], dtype, (-1,)), sizes)


def write(table: pa.Table, context: StageContext) -> pa.Table:
    """Commit a chunk: its rows in the predictions schema, in a file named after the chunk."""
    started = time.perf_counter()
    predictions = _predictions(table, 0, context)
    for number, recipe in enumerate(context.recipes[1:], start=1):
        predictions = with_profile(predictions, recipe.name, _predictions(table, number, context))
    stats = Stats.from_json(table["stats"][0].as_py()).with_errors(predictions["error"])
    stats += Stats(throughput=Throughput.of(stats.rows, time.time()))
    key = chunks.key_of(table)
    write_part(context.output, key, predictions, stats)
    stats += Stats(write_seconds=time.perf_counter() - started)
    return ChunkResult(key, stats).to_table()


def _predictions(table: pa.Table, number: int, context: StageContext) -> pa.Table:
    """A recipe's rows."""
    index = chunks.array_of(table[f"index{number}"], np.int32, (-1, TOP_K))
    features = None
    if context.features:
        values = chunks.array_of(table[f"features{number}"], np.float32, (-1,))
        features = values.reshape(len(index), len(values) // max(1, len(index)))
    return predictions_table(
        chunks.rows_of(table),
        index,
        chunks.array_of(table[f"probability{number}"], np.float32, (-1, TOP_K)),
        classes=context.classes,
        features=features,
        features_type=context.features,
    )


def capture_failure(
    table: pa.Table,
    stage: Callable[..., pa.Table],
    context: StageContext,
    *further: Any,
) -> pa.Table:
    """What a stage makes of a chunk; a failed result where it fails, here or before.

    Args:
        table: the chunk.
        stage: takes it and what follows.
        context: what the stages need to know.
        further: what else the stage takes.
    """
    if is_result(table):
        return table
    try:
        check_versions(context.versions)
        return stage(table, context, *further)
    except Exception as error:
        return _failed(stage.__name__, chunks.key_of(table), error, context)


def _failed(stage: str, key: ChunkKey, error: Exception, context: StageContext) -> pa.Table:
    text = str(error) if isinstance(error, VggbatchError) else f"{type(error).__name__}: {error}"
    fields = {**chunk_fields(key), "stage": stage, "failure": text}
    RunLogger(__name__, context.run_id).error("chunk failed", exc_info=error, extra=fields)
    return ChunkResult(key, failure=f"{stage}: {text}").to_table()
