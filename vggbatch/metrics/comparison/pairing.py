"""Two runs on the same images, row by row: what a paired comparison needs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vggbatch.errors import UsageError
from vggbatch.metrics.rows import (
    BATCH_ROWS,
    Predictions,
    Rows,
    open_predictions,
    prediction_files,
    read_batches,
)


class Pairing:
    """Pairs the rows of two outputs by image id; iterate over it for batches of both.

    Two runs on the same input have their rows in the same order, and are read side by side in
    bounded memory. From the first row where they part, the rest of both is loaded and joined. If
    no image id is shared, as after packing the same images into other shards, images are paired
    by file name.

    After the iteration `only_a` and `only_b` are the numbers of images that the other run lacks,
    and `by_file_name` says how they were paired.
    """

    def __init__(self, a: Predictions, b: Predictions) -> None:
        self.a, self.b = a, b
        self.only_a = 0
        self.only_b = 0
        self.by_file_name = False

    def __iter__(self) -> Iterator[tuple[Rows, Rows]]:
        """Batches of the same images.

        Raises:
            UsageError: the runs share no image, or file names are ambiguous.
        """
        left, right = _Stream(self.a), _Stream(self.b)
        paired = 0
        while size := min(left.ready(), right.ready()):
            x, y = left.head(size), right.head(size)
            if not x.column("image_id").equals(y.column("image_id")):
                break
            left.skip(size)
            right.skip(size)
            paired += size
            yield Rows.of(x), Rows.of(y)
        rest_a, rest_b = left.rest(), right.rest()
        where = pc.index_in(rest_a["image_id"], value_set=rest_b["image_id"].combine_chunks())
        if not paired and where.null_count == len(where):
            names_a, names_b = _file_names(self.a, rest_a), _file_names(self.b, rest_b)
            where = pc.index_in(names_a, value_set=names_b)
            self.by_file_name = True
            if where.null_count == len(where):
                raise UsageError(f"{self.a.uri} and {self.b.uri} have no image in common")
        known = where.is_valid()
        self.only_a = where.null_count
        self.only_b = rest_b.num_rows - (len(where) - where.null_count)
        yield from _joined(rest_a.filter(known), rest_b, where.drop_null())


class _Stream:
    """The rows of an output in order, a few at a time."""

    def __init__(self, folder: Predictions) -> None:
        self._batches = _batches(folder)
        self._batch = pa.RecordBatch.from_pylist([])

    def ready(self) -> int:
        """How many rows can be had; 0 at the end."""
        while not self._batch.num_rows:
            batch = next(self._batches, None)
            if batch is None:
                return 0
            self._batch = batch
        return int(self._batch.num_rows)

    def head(self, size: int) -> pa.RecordBatch:
        return self._batch.slice(0, size)

    def skip(self, size: int) -> None:
        self._batch = self._batch.slice(size)

    def rest(self) -> pa.Table:
        """All that was not skipped."""
        self.ready()
        return pa.Table.from_batches([self._batch, *self._batches])


def _batches(folder: Predictions) -> Iterator[pa.RecordBatch]:
    for name in prediction_files(folder):
        with open_predictions(folder, name) as file:
            yield from read_batches(file)


def _file_names(folder: Predictions, table: pa.Table) -> pa.Array:
    names = pc.replace_substring_regex(table["image_id"], r"^.*/", "").combine_chunks()
    if len(pc.unique(names)) < len(names):
        raise UsageError(
            f"{folder.uri} shares no image id with the other run, and its file names repeat: "
            "the images cannot be paired"
        )
    return names


def _joined(a: pa.Table, b: pa.Table, where: pa.Array) -> Iterator[tuple[Rows, Rows]]:
    places = np.asarray(where)
    for start in range(0, len(places), BATCH_ROWS):
        x = a.slice(start, BATCH_ROWS)
        y = b.take(pa.array(places[start : start + BATCH_ROWS]))
        yield Rows.of(_one_batch(x)), Rows.of(_one_batch(y))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]
