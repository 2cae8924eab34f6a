"""Predictions are read back as they were written, by a pyarrow of any version."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vggbatch.pipeline import reading
from vggbatch.pipeline.schema import FEATURE_WIDTH, predictions_schema

SYNSETS = ("n01440764 tench, Tinca tinca", "n01443537 goldfish, Carassius auratus")


@pytest.fixture(params=["as it is", "as before 26"])
def _version(request, monkeypatch):
    if request.param == "as before 26":
        monkeypatch.setattr(reading, "READS_NULLS", False)


def predictions(errors, features=None):
    """A row for each of `errors`, None for an image that was scored."""
    schema = predictions_schema(features)
    rows = []
    for number, error in enumerate(errors):
        scored = error is None
        row = {"image_id": f"{number}.jpg", "source": "/x", "label": number, "error": error}
        row["top5_index"] = [1, 0, 1, 0, 1] if scored else None
        row["top5_probability"] = [0.5, 0.25, 0.125, 0.0625, 0.03125] if scored else None
        row["top5_synset"] = [SYNSETS[1], SYNSETS[0], None, None, None] if scored else None
        if features:
            values = np.full(
                FEATURE_WIDTH, number, schema.field("features").type.value_type.to_pandas_dtype()
            )
            row["features"] = values if scored else None
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=schema)


def written(table, row_group_size=None):
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", row_group_size=row_group_size)
    return io.BytesIO(file.getvalue())


@pytest.mark.usefixtures("_version")
@pytest.mark.parametrize("features", [None, "float32", "float16"])
@pytest.mark.parametrize(
    "errors",
    [[None], ["empty: x"], [None, "a: b", "a: b", None], ["a: b", "a: b", None], [None, "a: b"]],
)
def test_rows_with_and_without_errors_come_back(errors, features):
    table = predictions(errors, features)
    found = reading.read_table(written(table))
    assert found.schema.types == table.schema.types
    assert found.to_pylist() == table.to_pylist()


@pytest.mark.usefixtures("_version")
def test_a_file_of_several_row_groups_comes_back():
    table = predictions([None, "a: b", None, None, "a: b"])
    file = written(table, row_group_size=2)
    assert reading.read_table(file).to_pylist() == table.to_pylist()
    groups = list(reading.row_groups(reading.open_parquet(file), ["image_id", "top5_synset"]))
    assert [group.num_rows for group in groups] == [2, 2, 1]
    none = written(table.slice(0, 0))
    assert reading.read_table(none).num_rows == 0


@pytest.mark.usefixtures("_version")
def test_some_columns_of_a_file_read_through_arrow():
    table = predictions([None, "a: b", "a: b"])
    data = written(table).getvalue()
    found = reading.read_table(pa.BufferReader(data), ["image_id", "top5_index"])
    assert found.column_names == ["image_id", "top5_index"]
    assert found["top5_index"].to_pylist() == table["top5_index"].to_pylist()


@pytest.mark.usefixtures("_version")
@pytest.mark.parametrize(
    "data", [b"", b"short", b"no Parquet, but longer than that", b"\xff" * 4 + b"PAR1"]
)
def test_what_is_no_parquet_is_refused(data):
    with pytest.raises(pa.ArrowInvalid):
        reading.open_parquet(io.BytesIO(data))
