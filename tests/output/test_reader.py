"""Predictions are read as plain lists whatever the format of the file and the pyarrow."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vggbatch.output import reader
from vggbatch.output.schema import TOP_K, predictions_schema

SYNSETS = ("n01440764 tench, Tinca tinca", "n01443537 goldfish, Carassius auratus")
WIDTH = 12


def old_schema(features=None):
    """The columns as format 1 had them."""
    schema = predictions_schema(features)
    kinds = {
        "top5_index": pa.list_(pa.int32(), TOP_K),
        "top5_probability": pa.list_(pa.float32(), TOP_K),
        "top5_synset": pa.list_(pa.dictionary(pa.int32(), pa.string()), TOP_K),
    }
    if features:
        kinds["features"] = pa.list_(schema.field("features").type.value_type, WIDTH)
    return pa.schema([pa.field(f.name, kinds.get(f.name, f.type), f.nullable) for f in schema])


def predictions(errors, features=None, schema=None):
    """A row for each of `errors`, None for an image that was scored."""
    schema = schema or predictions_schema(features)
    rows = []
    for number, error in enumerate(errors):
        scored = error is None
        row = {"image_id": f"{number}.jpg", "source": "/x", "label": number, "error": error}
        row["top5_index"] = [1, 0, 1, 0, 1] if scored else None
        row["top5_probability"] = [0.5, 0.25, 0.125, 0.0625, 0.03125] if scored else None
        row["top5_synset"] = [SYNSETS[1], SYNSETS[0], None, None, None] if scored else None
        if features:
            row["features"] = list(np.full(WIDTH, number, features)) if scored else None
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=schema)


def written(table, row_group_size=None):
    file = io.BytesIO()
    try:
        pq.write_table(table, file, compression="zstd", row_group_size=row_group_size)
    except pa.ArrowNotImplementedError as error:  # nulls in format 1, before pyarrow 26
        pytest.skip(f"pyarrow {pa.__version__} cannot write it: {error}")
    return io.BytesIO(file.getvalue())


@pytest.mark.parametrize("schema", [predictions_schema, old_schema])
@pytest.mark.parametrize("features", [None, "float32", "float16"])
@pytest.mark.parametrize(
    "errors",
    [[None], ["empty: x"], [None, "a: b", "a: b", None], ["a: b", "a: b", None], [None, "a: b"]],
)
def test_rows_with_and_without_errors_come_back(errors, features, schema):
    table = predictions(errors, features, schema(features))
    found = reader.read_table(written(table))
    assert found.schema.types == predictions_schema(features).types
    assert found.to_pylist() == table.to_pylist()


@pytest.mark.parametrize("schema", [predictions_schema, old_schema])
def test_a_file_of_several_row_groups_comes_back(schema):
    table = predictions([None, "a: b", None, None, "a: b"], schema=schema())
    file = written(table, row_group_size=2)
    assert reader.read_table(file).to_pylist() == table.to_pylist()
    groups = list(reader.row_groups(reader.open_parquet(file), ["image_id", "top5_synset"]))
    assert [group.num_rows for group in groups] == [2, 2, 1]
    none = written(table.slice(0, 0))
    assert reader.read_table(none).num_rows == 0


@pytest.mark.parametrize("schema", [predictions_schema, old_schema])
def test_some_columns_of_a_file_read_through_arrow(schema):
    table = predictions([None, "a: b", "a: b"], schema=schema())
    data = written(table).getvalue()
    found = reader.read_table(pa.BufferReader(data), ["image_id", "top5_index"])
    assert found.column_names == ["image_id", "top5_index"]
    assert found["top5_index"].to_pylist() == table["top5_index"].to_pylist()


def repeated(table, rows):
    return table.take(pa.array(np.arange(rows) % table.num_rows))


def test_more_rows_than_lists_of_dictionaries_could_hold_are_read_whole():
    """Format 1 failed from some 105,000 rows on, with pyarrow's own functions and all versions."""
    table = repeated(predictions([None, "a: b"]), 300_000)
    file = pq.ParquetFile(written(table, row_group_size=300_000))
    assert file.read()["top5_synset"].equals(table["top5_synset"])
    assert sum(batch.num_rows for batch in file.iter_batches(65_536)) == 300_000


def test_as_many_rows_of_format_1_are_read():
    table = predictions([None, "a: b"], schema=old_schema())
    file = written(pa.concat_tables([table] * 75_000).combine_chunks(), row_group_size=150_000)
    with reader.open_parquet(file) as opened:
        assert sum(batch.num_rows for batch in opened.iter_batches(65_536)) == 150_000


@pytest.mark.parametrize(
    "data", [b"", b"short", b"no Parquet, but longer than that", b"\xff" * 4 + b"PAR1"]
)
def test_what_is_no_parquet_is_refused(data):
    with pytest.raises(pa.ArrowInvalid):
        reader.open_parquet(io.BytesIO(data))
