"""The columns of predictions/*.parquet, which users rely on."""

from __future__ import annotations

import pyarrow as pa

TOP_K = 5
FEATURE_WIDTH = 4096
"""Width of fc7 (Simonyan and Zisserman 2014, table 1)."""


def predictions_schema(features: str | None = None) -> pa.Schema:
    """The predictions columns; `features` is None, `float32` or `float16`."""
    fields = [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.int32()),
        pa.field("top5_index", pa.list_(pa.int32(), TOP_K)),
        pa.field("top5_probability", pa.list_(pa.float32(), TOP_K)),
        pa.field("top5_synset", pa.list_(pa.dictionary(pa.int32(), pa.string()), TOP_K)),
        pa.field("error", pa.string()),
    ]
    if features is not None:
        kind = {"float32": pa.float32(), "float16": pa.float16()}[features]
        fields.append(pa.field("features", pa.list_(kind, FEATURE_WIDTH)))
    return pa.schema(fields)
