import numpy as np
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vggbatch.classifier.topk import negative_log_likelihood, softmax, top_k

scores = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 20)),
    elements=st.floats(-90, 90, width=32),
)


@given(scores)
def test_softmax_equals_scipys(logits):
    np.testing.assert_allclose(
        softmax(logits), scipy.special.softmax(logits.astype(np.float64), axis=1), atol=1e-12
    )


def test_softmax_of_large_scores_does_not_overflow():
    np.testing.assert_allclose(softmax(np.array([[1e30, 0]], np.float32)), [[1, 0]])


@given(scores)
def test_likelihood_equals_scipys_log_softmax(logits):
    labels = np.arange(len(logits), dtype=np.int32) - 1
    found = negative_log_likelihood(logits, labels, probabilities=False)
    expected = -scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    for row, label in enumerate(labels):
        if 0 <= label < logits.shape[1]:
            assert abs(found[row] - expected[row, label]) < 1e-9
        else:
            assert np.isnan(found[row])


def test_likelihood_of_probabilities():
    scores = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    found = negative_log_likelihood(scores, np.array([1, 1], np.int32), probabilities=True)
    np.testing.assert_allclose(found, [-np.log(0.75), 149 * np.log(2)])


@given(scores.map(np.round))
def test_top_k_is_sorted_by_probability_then_index(values):
    """Against Python's sort; rounding makes ties common."""
    index, probability = top_k(values, 5)
    for row, found, probabilities in zip(values, index, probability, strict=True):
        expected = sorted(range(len(row)), key=lambda i: (-row[i], i))[:5]
        assert found.tolist() == expected + [-1] * (5 - len(expected))
        assert probabilities[: len(expected)].tolist() == [row[i] for i in expected]
        assert np.isnan(probabilities[len(expected) :]).all()


def test_ties_in_the_stored_type_go_by_index():
    """Two probabilities that differ in float64 and not in float32 are a tie in the output."""
    index, _ = top_k(np.array([[0.3, 0.3 + 1e-12, 0.4]]), 3)
    assert index.tolist() == [[2, 0, 1]]
