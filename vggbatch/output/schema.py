"""The columns of predictions/*.parquet, which users rely on; docs/output.md describes them.

Lists are plain lists although all rows have as many values: fixed-size lists with a null in them
cannot be read by pyarrow before version 26, by Daft 0.6 or by Lance.
"""

from __future__ import annotations

import pyarrow as pa

TOP_K = 5
_FLOATS = {"float32": pa.float32(), "float16": pa.float16()}


def predictions_schema(features: str | None = None) -> pa.Schema:
    """The predictions columns; `features` is None, `float32` or `float16`."""
    fields = [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.int32()),
        pa.field("top5_index", pa.list_(pa.int32())),
        pa.field("top5_probability", pa.list_(pa.float32())),
        pa.field("top5_synset", pa.list_(pa.string())),
        pa.field("error", pa.string()),
    ]
    if features is not None:
        fields.append(pa.field("features", pa.list_(_FLOATS[features])))
    return pa.schema(fields)
