from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vggbatch.chunks.likelihood import SQUARE_UNIT, UNIT, LabelLikelihood

NATS = hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(0, 110, width=32))


@given(NATS, NATS, NATS)
def test_sums_are_the_same_in_any_grouping(a, b, c):
    whole = LabelLikelihood.of(np.concatenate([a, b, c]))
    parts = [LabelLikelihood.of(x) for x in (a, b, c)]
    assert (parts[0] + parts[1]) + parts[2] == whole
    assert parts[2] + (parts[0] + parts[1]) == whole


@given(NATS)
def test_sums_are_those_of_numpy(values):
    sums = LabelLikelihood.of(values)
    exact = values.astype(float)
    assert sums.n == len(values)
    assert sums.total * UNIT == pytest.approx(exact.sum(), abs=1e-5)
    assert sums.squares * SQUARE_UNIT == pytest.approx((exact**2).sum(), abs=1e-3)


def test_travels_in_a_files_metadata(tmp_path):
    sums = LabelLikelihood.of(np.array([0.5, 1.25]))
    table = pa.table({"x": [1, 2]})
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(sums.to_metadata())
    read = pq.ParquetFile(tmp_path / "a.parquet").metadata.metadata
    assert LabelLikelihood.from_metadata(read) == sums
    assert LabelLikelihood.from_metadata(None) is None
