import numpy as np
import pytest

from tests.images import cut
from tests.nets import SIZE, colour_net
from tests.plain_loop import plain_scores
from vggbatch.classifier import Classifier, SessionSpec
from vggbatch.config import Preprocess
from vggbatch.preprocess.transform import center_crop

PROFILE = Preprocess(resize=SIZE + 4, crop=SIZE)


def spec(path, **changes):
    settings = {
        "path": str(path),
        "input": "data",
        "outputs": ("scores",),
        "layout": "NCHW",
        "probabilities": False,
        "preprocess": PROFILE,
    }
    return SessionSpec(**{**settings, **changes})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{i}.png" for i in range(11)]
    for number, path in enumerate(paths):
        cut(number).save(path)
    return paths


@pytest.fixture(scope="module")
def crops():
    return np.stack([center_crop(cut(number), PROFILE) for number in range(11)])


@pytest.mark.parametrize("micro_batch", [1, 4, 11, 64])
def test_equals_the_plain_loop_row_by_row(net, files, crops, micro_batch):
    found = Classifier(spec(net), micro_batch=micro_batch, pin=False)(crops)
    expected = plain_scores(net, files, PROFILE)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found.index, order)
    np.testing.assert_allclose(
        found.probability, np.take_along_axis(expected, order, axis=1), atol=1e-5
    )
    assert len({tuple(row) for row in found.index.tolist()}) == len(crops)


def test_softmax_is_applied_once(net, tmp_path, crops):
    """A network that ends in Softmax gives the same as one that does not."""
    with_softmax = colour_net(tmp_path / "softmax.onnx", softmax=True)
    once = Classifier(spec(with_softmax, probabilities=True), pin=False)(crops)
    plain = Classifier(spec(net), pin=False)(crops)
    np.testing.assert_array_equal(once.index, plain.index)
    np.testing.assert_allclose(once.probability, plain.probability, atol=1e-6)


def test_likelihood_of_the_label(net, files, crops):
    labels = np.array([3, -1, 999, 1000, *[7] * 7], np.int32)
    nll = Classifier(spec(net), pin=False)(crops, labels).label_nll
    expected = plain_scores(net, files, PROFILE)
    assert np.isnan(nll[[1, 3]]).all()
    np.testing.assert_allclose(nll[[0, 2]], -np.log(expected[[0, 2], [3, 999]]), rtol=1e-4)


def test_no_images_is_no_predictions(net):
    found = Classifier(spec(net), pin=False)(np.empty((0, SIZE, SIZE, 3), np.uint8))
    assert found.index.shape == (0, 5)
    assert found.label_nll.shape == (0,)


def test_a_classifier_holds_its_cores_until_it_goes(net):
    import os

    before = os.sched_getaffinity(0)
    try:
        classifier = Classifier(spec(net), threads=1)
        if classifier.claim is None:
            pytest.skip("cores may not be pinned here, or are all taken")
        assert os.sched_getaffinity(0) == set(classifier.claim.cores)
        classifier.claim.release()
    finally:
        os.sched_setaffinity(0, before)
