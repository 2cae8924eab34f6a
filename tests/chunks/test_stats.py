import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.chunks.stats import Stats


def test_sums_add_up_and_survive_json():
    first = Stats(rows=2, fetch_seconds=0.5).with_errors(pa.array(["empty: x", None]))
    second = Stats(rows=3).with_errors(pa.array(["empty: y", "corrupt: a: b", None]))
    both = Stats.from_json((first + second).to_json())
    assert both.rows == 5
    assert both.errors == {"corrupt": 1, "empty": 2}
    assert both.error_rows == 3
    assert both.fetch_seconds == 0.5


def test_likelihood_of_labeled_images_only():
    nll = np.array([0.5, np.nan, 0.0, 2.5])
    stats = Stats(rows=4).with_scores(
        infer_seconds=1, likelihoods=[LabelLikelihood.of(nll), LabelLikelihood.of(nll + 1)]
    )
    assert stats.likelihood.n == 3
    assert stats.likelihood.total * 2.0**-24 == pytest.approx(3.0)
    both = Stats.from_json((Stats() + stats + stats).to_json())
    assert [(one.n, one.total * 2.0**-24) for one in both.further] == [(6, pytest.approx(12.0))]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)), max_size=20))
def test_a_total_is_the_sum(parts):
    stats = [
        Stats(rows=rows, errors={"corrupt": rows}, content={str(shard): content})
        for shard, content, rows in parts
    ]
    one_by_one = sum(stats, Stats())
    assert Stats.total(stats) == one_by_one
    assert Stats.total(stats).to_json() == one_by_one.to_json()
