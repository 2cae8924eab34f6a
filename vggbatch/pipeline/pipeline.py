"""The way of an image, from its shard to a row of Parquet; plan.py makes a Ray Data plan of it.

    index     a shard's members, without their bytes, cut into chunks
    decode    a chunk's bytes -> uint8 crops in one buffer
    classify  an onnxruntime actor on cores of its own: crops -> top-5
    write     the chunk's rows -> one staging file under a name of its own

Each stage takes and gives tables of one row, a chunk (see chunk.py). A stage that fails does not
raise, for Ray would repeat it for ever or drop the chunk without a word: the chunk becomes a
receipt with a `failure`, which the later stages hand through and the run acts on (see run.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vggbatch.classifier import Classifier, SessionSpec
from vggbatch.config import DecodeOptions, Preprocess
from vggbatch.errors import ImageError, VggbatchError
from vggbatch.pipeline import chunk as chunks
from vggbatch.pipeline.chunk import ChunkKey
from vggbatch.pipeline.isolate import IsolatedDecoder
from vggbatch.pipeline.schema import FEATURE_WIDTH, TOP_K
from vggbatch.pipeline.sink import predictions_table, write_part
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.throughput import Throughput
from vggbatch.preprocess.decode import decode_image
from vggbatch.preprocess.transform import center_crop
from vggbatch.sources import Labels, reader_for

RECEIPT_SCHEMA = pa.schema(
    [
        ("group", pa.int32()),
        ("shard", pa.int32()),
        ("chunk", pa.int32()),
        ("chunks", pa.int32()),
        ("stats", pa.string()),
        ("failure", pa.string()),
    ]
)
"""What the driver learns of a chunk: its name, its statistics as JSON, why it failed."""


@dataclass(frozen=True)
class Scoring:
    """Everything the stages need to know; small, and pickled into each of them."""

    output: Output
    chunk_size: int
    preprocess: Preprocess
    decode: DecodeOptions
    classes: tuple[str, ...]
    open_model: Callable[[], SessionSpec]
    """Called on the node where a classifier starts: gets the model file ready there."""
    threads: int
    micro_batch: int | None
    pin: bool
    features: str | None
    labels: Any = None
    """A `Labels` or a Ray object reference of one, None for unlabelled input."""
    isolate: bool = False
    """Decode each image in a process of its own, where an earlier pass lost its workers."""


def index(table: pa.Table, scoring: Scoring) -> Iterator[pa.Table]:
    """Shards -> chunks. Chunks that the column `done` names are committed already and left out."""
    cache = scoring.output.index_folder()
    finished = table["done"].to_pylist()
    for (number, group, shard), done in zip(chunks.shards_of(table), finished, strict=True):
        try:
            members = reader_for(shard.format).members(shard, cache)
        except Exception as error:
            yield receipt(ChunkKey(group, number, -1, -1), failure=_reason("index", error))
            continue
        skip = set(done)
        for part in chunks.split(number, group, shard, members, scoring.chunk_size):
            if chunks.key_of(part).chunk not in skip:
                yield part


def decode(table: pa.Table, scoring: Scoring) -> pa.Table:
    """A chunk's bytes -> `rows`, one for every image, and `crops` of those without an error.

    Crops are one large_binary value: uint8 (n, crop, crop, 3), RGB, in row order.
    """
    _, _, shard = next(chunks.shards_of(table))
    members = shard.members
    assert members is not None, "a chunk carries its members"
    size = scoring.preprocess.crop
    crops = np.empty((members.num_rows, size, size, 3), np.uint8)
    errors: list[str | None] = []
    scored, image_bytes, fetch_seconds = 0, 0, 0.0
    started = clock = time.perf_counter()
    with _cropper(scoring) as crop:
        for data in reader_for(shard.format).read(shard, members, scoring.decode.max_bytes):
            fetch_seconds += time.perf_counter() - clock
            try:
                if isinstance(data, ImageError):
                    raise data
                image_bytes += len(data)
                crops[scored] = crop(data)
                scored += 1
                errors.append(None)
            except ImageError as error:
                errors.append(str(error))
            clock = time.perf_counter()
    ids = shard.image_ids(members)
    labels = pa.nulls(len(ids), pa.int32())
    if scoring.labels is not None:
        known = _labels(scoring)
        labels = known.match(ids, members["label"].to_pylist())
    rows = pa.StructArray.from_arrays(
        [pa.array(ids), pa.array(shard.sources(members)), labels, pa.array(errors, pa.string())],
        fields=list(chunks.ROW),
    )
    stats = Stats(
        rows=len(ids),
        image_bytes=image_bytes,
        fetch_seconds=fetch_seconds,
        decode_seconds=time.perf_counter() - started - fetch_seconds,
    )
    return chunks.with_columns(
        table.select(chunks.KEY),
        rows=chunks.list_of(rows),
        crops=chunks.bytes_of(crops[:scored]),
        stats=pa.array([stats.to_json()]),
    )


def _labels(scoring: Scoring) -> Labels:
    if isinstance(scoring.labels, Labels):
        return scoring.labels
    import ray  # only here: the stages run without it too, where it would cost a second to import

    known: Labels = ray.get(scoring.labels)
    return known


def _cropper(
    scoring: Scoring,
) -> contextlib.AbstractContextManager[Callable[[bytes], npt.NDArray[np.uint8]]]:
    """Image bytes -> crop, in this process or in one of its own."""
    if scoring.isolate:
        return IsolatedDecoder(scoring.decode, scoring.preprocess)
    return contextlib.nullcontext(
        lambda data: center_crop(
            decode_image(data, scoring.decode, scoring.preprocess.resize), scoring.preprocess
        )
    )


class Classify:
    """The classifier actor: opens the model on its node once, then takes chunk after chunk."""

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.classifier: Classifier | None = None
        self.failure: Exception | None = None
        try:
            self.classifier = Classifier(
                scoring.open_model(),
                threads=scoring.threads,
                micro_batch=scoring.micro_batch,
                pin=scoring.pin,
            )
        except Exception as error:
            # Ray would start this actor again and again; its chunks tell the run instead
            self.failure = error

    def __call__(self, table: pa.Table) -> pa.Table:
        """Classify one chunk."""
        return guarded(table, stage=self.classify, scoring=self.scoring)

    def classify(self, table: pa.Table, scoring: Scoring) -> pa.Table:
        """Crops -> predictions of the images without an error, in row order."""
        if self.classifier is None:
            assert self.failure is not None
            raise self.failure
        started = time.perf_counter()
        size = scoring.preprocess.crop
        crops = chunks.array_of(table["crops"], np.uint8, (-1, size, size, 3))
        rows = chunks.rows_of(table)
        labels = rows.field("label").filter(rows.field("error").is_null())
        found = self.classifier(crops, labels.fill_null(-1).to_numpy(zero_copy_only=False))
        stats = Stats.from_json(table["stats"][0].as_py()).with_scores(
            infer_seconds=time.perf_counter() - started, label_nll=found.label_nll
        )
        result = chunks.with_columns(
            table.select([*chunks.KEY, "rows"]),
            top5_index=chunks.bytes_of(found.index),
            top5_probability=chunks.bytes_of(found.probability),
            stats=pa.array([stats.to_json()]),
        )
        if found.features is None:
            return result
        return chunks.with_columns(result, features=chunks.bytes_of(found.features))


def write(table: pa.Table, scoring: Scoring) -> pa.Table:
    """Commit a chunk: its rows in the predictions schema, in a file named after the chunk."""
    started = time.perf_counter()
    predictions = predictions_table(
        chunks.rows_of(table),
        chunks.array_of(table["top5_index"], np.int32, (-1, TOP_K)),
        chunks.array_of(table["top5_probability"], np.float32, (-1, TOP_K)),
        classes=scoring.classes,
        features=chunks.array_of(table["features"], np.float32, (-1, FEATURE_WIDTH))
        if scoring.features
        else None,
        features_type=scoring.features,
    )
    stats = Stats.from_json(table["stats"][0].as_py()).with_errors(predictions["error"])
    stats += Stats(throughput=Throughput.of(stats.rows, time.time()))
    key = chunks.key_of(table)
    write_part(scoring.output, key, predictions, stats)
    stats += Stats(write_seconds=time.perf_counter() - started)
    return receipt(key, stats=stats)


def receipt(key: ChunkKey, *, stats: Stats | None = None, failure: str | None = None) -> pa.Table:
    """A chunk that is committed, with what was counted, or that failed, with the reason."""
    values = [*dataclasses.astuple(key), stats.to_json() if stats else None, failure]
    arrays = [
        pa.array([value], field.type) for value, field in zip(values, RECEIPT_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=RECEIPT_SCHEMA)


def guarded(
    table: pa.Table, stage: Callable[[pa.Table, Scoring], pa.Table], scoring: Scoring
) -> pa.Table:
    """What a stage makes of a chunk; a receipt with the reason where it fails, here or before."""
    if "failure" in table.column_names:
        return table
    try:
        return stage(table, scoring)
    except Exception as error:
        return receipt(chunks.key_of(table), failure=_reason(stage.__name__, error))


def _reason(stage: str, error: Exception) -> str:
    if isinstance(error, VggbatchError):
        return f"{stage}: {error}"
    return f"{stage}: {type(error).__name__}: {error}"
