"""Predictions as numpy arrays, read from Parquet a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from vggbatch.errors import UsageError, VggbatchError
from vggbatch.output.reader import naming_damage, open_for_arrow, open_parquet
from vggbatch.output.schema import TOP_K
from vggbatch.output.verify import prediction_names
from vggbatch.storage.filesystem import Folder

PREDICTIONS = "predictions"
"""Folder of the predictions inside an output."""

_CERTAIN = 1.001
"""The largest probability: sums of rounded ones pass 1 by less."""
BATCH_ROWS = 65_536
"""Rows decoded at once: about 4 MB, whatever the size of the file."""


@dataclass(frozen=True)
class Rows:
    """A batch of predictions.

    An image that could not be scored has `scored` false, class -1 and probability NaN; so have
    the places past the last class of a network with fewer than five.
    """

    image_id: pa.Array | None
    label: pa.Array
    """int32, null where unknown."""
    scored: npt.NDArray[np.bool_]
    """[N]"""
    index: npt.NDArray[np.int32]
    """[N, 5], by falling probability."""
    probability: npt.NDArray[np.float32]
    """[N, 5]"""

    @staticmethod
    def of(batch: pa.RecordBatch) -> Rows:
        """From a record batch with the predictions columns (image_id may be missing).

        Raises:
            VggbatchError: a prediction or a probability is not what any network gives.
        """
        tops = batch.column("top5_index")
        scored = tops.is_valid().to_numpy(zero_copy_only=False)
        index = np.full((len(scored), TOP_K), -1, dtype=np.int32)
        index[scored] = _matrix(tops, -1)
        probability = np.full((len(scored), TOP_K), np.nan, dtype=np.float32)
        probability[scored] = _matrix(batch.column("top5_probability"), np.nan)
        if np.isnan(probability[scored, 0]).any():
            raise VggbatchError(
                "a row's best probability is not a number: the network's output overflowed"
            )
        if (index < -1).any() or (index[scored, 0] < 0).any():
            raise VggbatchError("a prediction is no class: no run has written these rows")
        if ((probability < 0) | (probability > _CERTAIN)).any():
            raise VggbatchError("a probability is not from 0 to 1: no run has written these rows")
        named = "image_id" in batch.schema.names
        return Rows(
            image_id=batch.column("image_id") if named else None,
            label=batch.column("label"),
            scored=scored,
            index=index,
            probability=probability,
        )

    def __len__(self) -> int:
        return len(self.scored)

    def competing(self, subset: tuple[int, ...] | None) -> npt.NDArray[np.bool_]:
        """Which of the predictions count, [N, 5]: those in the subset of the classes, if any."""
        return self.index >= 0 if subset is None else np.isin(self.index, subset)


def _matrix(column: pa.Array, missing: float) -> npt.NDArray[Any]:
    """The valid rows of a fixed-size list column, [N, 5]; networks of few classes leave nulls."""
    flat = column.drop_null().flatten().fill_null(missing)
    matrix: npt.NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(-1, TOP_K)
    return matrix


@dataclass(frozen=True)
class Outputs:
    """Several outputs whose rows are read as those of one."""

    folders: tuple[Folder, ...]

    @property
    def uri(self) -> str:
        """What to call them."""
        return f"{self.folders[0].uri} and {len(self.folders) - 1} more"

    def place(self, name: str) -> tuple[Folder, str]:
        """Where a file is that `prediction_files` has named, and its name there."""
        number, _, inside = name.partition("/")
        return self.folders[int(number)], inside


Predictions = Folder | Outputs
"""Where rows are."""


def prediction_files(folder: Predictions) -> list[str]:
    """The predictions files of an output, sorted by name: those that it names, if it is a run's.

    Raises:
        UsageError: there are none.
    """
    if isinstance(folder, Outputs):
        return [
            f"{number:06d}/{name}"
            for number, one in enumerate(folder.folders)
            for name in prediction_files(one)
        ]
    names = prediction_names(folder)
    if not names:
        raise UsageError(f"{folder.uri} has no {PREDICTIONS}/*.parquet: is it the output of a run?")
    return names


def _five_of(right: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    """Whether a type is a list of values of that type, and of five where it says of how many."""

    def matches(kind: pa.DataType) -> bool:
        fixed = types.is_fixed_size_list(kind)
        if not (fixed or types.is_list(kind)) or (fixed and kind.list_size != TOP_K):
            return False
        return right(kind.value_type)

    return matches


_COLUMNS: dict[str, Callable[[pa.DataType], bool]] = {
    "image_id": types.is_string,
    "label": types.is_int32,
    "top5_index": _five_of(types.is_int32),
    "top5_probability": _five_of(types.is_float32),
}
"""What metrics read; a pyarrow before version 26 sees lists without their size."""


_SHOWN: dict[str, Callable[[pa.DataType], bool]] = {
    "source": types.is_string,
    "error": types.is_string,
    "top5_synset": _five_of(types.is_string),
}
"""What pages read besides."""


@contextmanager
def open_predictions(
    folder: Predictions, name: str, *, shown: bool = False
) -> Iterator[pq.ParquetFile]:
    """One predictions file of an output, checked to have the columns of the contract.

    Args:
        folder: the output.
        name: of the file.
        shown: whether to ask for the columns that a page shows, too.

    Raises:
        UsageError: it is not Parquet, or not a predictions file; or, while it is read, damaged.
    """
    if isinstance(folder, Outputs):
        folder, name = folder.place(name)
    with open_for_arrow(folder, name) as stream:
        try:
            file = open_parquet(stream)
        except (pa.ArrowInvalid, OSError) as error:
            raise UsageError(f"{folder.uri}/{name} is not a Parquet file: {error}") from None
        for column, right in (_COLUMNS | (_SHOWN if shown else {})).items():
            if column not in file.schema_arrow.names:
                raise UsageError(
                    f"{folder.uri}/{name} is not a predictions file: it has no column {column!r}"
                )
            kind = file.schema_arrow.field(column).type
            if not right(kind):
                raise UsageError(
                    f"{folder.uri}/{name} is not a predictions file: column {column!r} is {kind}"
                )
        with naming_damage(folder, name):
            yield file


def read_batches(file: pq.ParquetFile, *, ids: bool = True) -> Iterator[pa.RecordBatch]:
    """The columns that metrics need, `BATCH_ROWS` rows at a time.

    `ids`: whether image ids are among them; they are half of the bytes.
    """
    columns = ["label", "top5_index", "top5_probability"]
    yield from file.iter_batches(BATCH_ROWS, columns=["image_id", *columns] if ids else columns)
