"""Every protocol against a plain loop that runs each view of each image on its own."""

import os

import numpy as np
import onnx
import pytest

from tests.support.images import cut, jpeg
from tests.support.nets import SIZE, color_net
from tests.support.plain_loop import plain_protocol
from vggbatch.classifier import Classifier, NetworkSpec, SessionSpec
from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.models.graphs.dense import make_dense
from vggbatch.preprocess.image_buffer import ImageResizer

SMALL = Preprocess(resize=SIZE + 4, crop=SIZE)
SQUASH = Preprocess(resize=SIZE + 8, crop=SIZE, resize_mode="squash", channels="BGR")
STRIDE = 4
SHAPES = [(72, 56), (56, 72), (60, 60), (150, 40), (33, 80)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{i}.jpg" for i in range(len(SHAPES))]
    for number, path in enumerate(paths):
        width, height = SHAPES[number]
        path.write_bytes(jpeg(cut(number, width=width, height=height)))
    return paths


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    return [color_net(folder / f"{seed}.onnx", seed=seed) for seed in range(3)]


def spec(path, *, probabilities=False, outputs=("scores",)):
    return SessionSpec(str(path), "data", outputs, "NCHW", probabilities)


def network(path, **options):
    model = onnx.load(path)
    make_dense(model)
    dense = path.with_name(f"dense-{path.name}")
    onnx.save(model, dense)
    return NetworkSpec(spec(path, **options), spec(dense, **options))


def classify(networks, files, profiles, protocol, *, labels=None, micro_batch=None):
    resize_specs = tuple(profile.resize_spec() for profile in profiles)
    maker = ImageResizer(DecodeOptions(), resize_specs, protocol)
    packers = maker.packers(len(files))
    for path in files:
        for packer, pictures in zip(packers, maker(path.read_bytes()), strict=True):
            packer.add(pictures)
    classifier = Classifier(networks, protocol, micro_batch=micro_batch, pin=False)
    return classifier([packer.packed() for packer in packers], profiles, labels)


def check(found, expected):
    order = np.argsort(-expected, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found.index, order)
    best = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_allclose(found.probability, best, atol=1e-5)


@pytest.mark.parametrize("scales", [(36,), (34, 40)])
@pytest.mark.parametrize("kind", ["center", "ten", "grid", "dense", "grid+dense"])
def test_a_protocol_equals_the_plain_loop(nets, files, kind, scales):
    found = classify([network(nets[0])], files, [SMALL], Protocol(views=kind, scales=scales))
    expected = [plain_protocol(nets[0], path, SMALL, kind, scales, STRIDE) for path in files]
    check(found, np.stack(expected))


def test_an_ensemble_averages_networks_with_preprocessing_of_their_own(nets, files):
    profiles = [SMALL, SQUASH, SMALL]
    protocol = Protocol(views="grid+dense")
    found = classify([network(net) for net in nets], files, profiles, protocol)
    expected = [
        [plain_protocol(n, f, p, "grid+dense", (p.resize,), STRIDE) for f in files]
        for n, p in zip(nets, profiles, strict=True)
    ]
    check(found, np.mean(expected, axis=0))


def test_no_view_is_lost_in_the_likelihood(nets, files):
    labels = np.array([3, -1, 999, 500, 7], np.int32)
    found = classify([network(nets[0])], files, [SMALL], Protocol(views="ten"), labels=labels)
    expected = [plain_protocol(nets[0], path, SMALL, "ten", (36,), STRIDE) for path in files]
    assert np.isnan(found.label_nll[1])
    known = [0, 2, 3, 4]
    np.testing.assert_allclose(
        found.label_nll[known], -np.log(np.stack(expected)[known, labels[known]]), rtol=1e-4
    )


@pytest.mark.parametrize("kind", ["ten", "grid+dense"])
def test_micro_batches_change_nothing(nets, files, kind):
    protocol = Protocol(views=kind, scales=(34, 40))
    first, *others = [
        classify([network(nets[0])], files, [SMALL], protocol, micro_batch=size)
        for size in (1, 2, 4, 64)
    ]
    for other in others:
        np.testing.assert_array_equal(first.index, other.index)
        np.testing.assert_allclose(first.probability, other.probability, atol=1e-7)


def test_a_network_that_ends_in_softmax_is_the_same_network(tmp_path, nets, files):
    """Also in a dense evaluation, which averages scores and not probabilities."""
    ends = network(color_net(tmp_path / "softmax.onnx", softmax=True), probabilities=True)
    protocol = Protocol(views="grid+dense")
    found = classify([ends], files, [SMALL], protocol)
    same = classify([network(nets[0])], files, [SMALL], protocol)
    np.testing.assert_array_equal(found.index, same.index)
    np.testing.assert_allclose(found.probability, same.probability, atol=1e-6)


def test_dense_on_an_image_of_the_networks_size_is_the_plain_network(nets, files):
    exact = Preprocess(resize=SIZE, crop=SIZE, resize_mode="squash")
    dense = classify([network(nets[0])], files, [exact], Protocol(views="dense", flip=False))
    plain = classify([network(nets[0])], files, [exact], Protocol())
    np.testing.assert_array_equal(dense.index, plain.index)
    np.testing.assert_allclose(dense.probability, plain.probability, atol=1e-6)


@pytest.mark.parametrize("outputs", [("scores",), ("scores", "flat")])
def test_no_images_are_no_predictions(nets, tmp_path, outputs):
    model = onnx.load(nets[0])
    model.graph.output.append(onnx.helper.make_tensor_value_info("flat", 1, ["N", 192]))
    onnx.save(model, tmp_path / "two.onnx")
    networks = [NetworkSpec(spec(tmp_path / "two.onnx", outputs=outputs), None)]
    found = classify(networks, [], [SMALL], Protocol())
    assert found.index.shape == (0, 5)
    assert (found.features is not None) == (len(outputs) > 1)


def test_a_classifier_holds_its_cores_until_it_goes(nets):
    before = os.sched_getaffinity(0)
    try:
        classifier = Classifier([NetworkSpec(spec(nets[0]), None)], threads=1)
        if classifier.claim is None:
            pytest.skip("cores may not be pinned here, or are all taken")
        assert os.sched_getaffinity(0) == set(classifier.claim.cores)
        classifier.claim.release()
    finally:
        os.sched_setaffinity(0, before)
