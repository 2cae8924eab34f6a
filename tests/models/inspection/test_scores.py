"""What scores are, decided on values; the graph is asked where these leave it open."""

import numpy as np
import pytest

from vggbatch.errors import UsageError
from vggbatch.models.inspection.scores import find_scores

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (4, 1000))


def softmax(rows):
    exponents = np.exp(rows - rows.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def found(outputs, *, classes=1000, chosen=None, stated=None, operator=None):
    return find_scores(
        outputs,
        classes=classes,
        chosen=chosen,
        stated=stated,
        operator=lambda name: operator,
        described="...",
    )


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (LOGITS, "logits"),
        (softmax(LOGITS), "probabilities"),
        (softmax(LOGITS).astype(np.float16).astype(float), "probabilities"),
        (np.log(softmax(LOGITS)), "logits"),
        (LOGITS[:, :2], "logits"),
        (np.abs(LOGITS) / np.abs(LOGITS).max(), "logits"),
    ],
)
def test_values_say_what_scores_are(rows, kind):
    scores = found({"s": rows}, classes=rows.shape[1])
    assert (scores.kind, scores.count, scores.binary) == (kind, rows.shape[1], False)


def test_coarse_probabilities_of_an_int8_softmax_are_probabilities():
    rows = np.round(softmax(LOGITS) * 256) / 256
    assert np.abs(rows.sum(axis=1) - 1).max() > 0.01
    assert found({"s": rows}, operator="Softmax").kind == "probabilities"


def test_the_output_with_as_many_scores_as_classes_is_taken():
    outputs = {"features": RNG.normal(size=(4, 1280)), "map": None, "logits": LOGITS}
    assert found(outputs).output == "logits"
    assert found({"p": softmax(LOGITS), "logits": LOGITS}).kind == "probabilities"
    assert found({"a": LOGITS, "b": LOGITS[::-1]}, chosen="b").output == "b"
    with pytest.raises(UsageError, match=r"several outputs may be the scores \(a, b"):
        found({"a": LOGITS, "b": LOGITS[::-1]})
    with pytest.raises(UsageError, match="none of the outputs has 10 scores"):
        found({"a": LOGITS, "b": LOGITS[::-1]}, classes=10)
    with pytest.raises(UsageError, match=r"model.scores=c: no such output"):
        found({"a": LOGITS}, chosen="c")


def test_what_the_user_says_must_be_true():
    with pytest.raises(UsageError, match=r"model.output is logits, but .* gives probabilities"):
        found({"s": softmax(LOGITS)}, stated="logits")
    with pytest.raises(UsageError, match=r"model.output is probabilities, but .* gives none"):
        found({"s": LOGITS}, stated="probabilities")


def test_percents_are_no_logits():
    rows = 100 * softmax(LOGITS)
    with pytest.raises(UsageError, match=r"another sum than 1.*sums 100 to 100"):
        found({"s": rows})
    assert found({"s": rows}, stated="logits").kind == "logits"
    # a network that says the same of every picture has a warning of its own
    assert found({"s": np.repeat(rows[:1], 4, axis=0)}).kind == "logits"


def test_independent_probabilities_need_a_word():
    rows = 1 / (1 + np.exp(-LOGITS))
    with pytest.raises(UsageError, match="sum to no 1 over the classes"):
        found({"s": rows}, operator="Sigmoid")
    assert found({"s": rows}, operator="Sigmoid", stated="probabilities").kind == "probabilities"
    # a softmax over the batch instead of the classes, of one image: all ones
    with pytest.raises(UsageError, match="its axis is wrong"):
        found({"s": np.ones((4, 1000))}, operator="Softmax")


def test_one_score_is_of_the_second_of_two_classes():
    sigmoid = 1 / (1 + np.exp(-LOGITS[:, :1]))
    scores = found({"s": sigmoid}, classes=2, operator="Sigmoid")
    assert (scores.kind, scores.count, scores.binary) == ("probabilities", 2, True)
    assert found({"s": LOGITS[:, :1]}, classes=2).kind == "logits"
    with pytest.raises(UsageError, match="is it the probability of the second class"):
        found({"s": sigmoid}, classes=2)
    with pytest.raises(UsageError, match="Softmax over one score"):
        found({"s": np.ones((4, 1))}, classes=2, operator="Softmax")


def test_scores_that_are_not_finite():
    some = LOGITS.copy()
    some[0] = np.nan
    assert found({"s": some}).kind == "logits"
    with pytest.raises(UsageError, match="NaN or infinite for every picture"):
        found({"s": np.full((4, 1000), np.inf)})


def test_the_same_scores_for_all_pictures_are_a_warning():
    assert "the same for every picture" in found({"s": np.repeat(LOGITS[:1], 4, axis=0)}).warning
    assert found({"s": LOGITS}).warning is None


def test_negated_probabilities_are_refused():
    for rows in (-softmax(LOGITS), -np.log(softmax(LOGITS))):
        with pytest.raises(UsageError, match="of which the least is the best"):
            found({"s": rows})
        assert found({"s": rows}, stated="logits").kind == "logits"


def test_a_class_alone_is_a_warning():
    rows = np.eye(1000)[LOGITS.argmax(axis=1)]
    assert "only top-1 counts" in found({"s": rows}).warning
