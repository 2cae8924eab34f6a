"""An open network: its scores, its batches, and the memory that it holds."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.images import cut, jpeg
from tests.support.nets import SIZE, color_net
from vggbatch.classifier import Classifier, NetworkSpec, SessionSpec
from vggbatch.classifier.session import Session
from vggbatch.config import DecodeOptions, Preprocess, Protocol
from vggbatch.preprocess.image_buffer import ImageResizer

PROFILE = Preprocess(resize=SIZE + 4, crop=SIZE)

CHANNELS, SIDE = 32, 128

SCRIPT = """
import sys
import numpy as np
from vggbatch.classifier.session import Session, SessionSpec

def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous")) / 1024

session = Session(SessionSpec(sys.argv[1], "data", ("scores",), "NCHW", False), 1)
rng = np.random.default_rng(0)
shape = (3, int(sys.argv[2]), int(sys.argv[2]))
inputs = {n: rng.normal(size=(n, *shape)).astype(np.float32) for n in range(1, 5)}
session(inputs[1])  # gives back what opening took
before = anonymous()
for n in map(int, sys.argv[3:]):
    session(inputs[n])
    print(anonymous() - before)
"""


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory):
    """Six convolutions whose activations are 2 MB an image each."""
    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "data"
    for number in range(6):
        shape = (CHANNELS, 3 if number == 0 else CHANNELS, 3, 3)
        weights.append(
            numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), f"w{number}")
        )
        nodes.append(
            helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        last = f"r{number}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CHANNELS])],
        weights,
    )
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def growth(path, *batches):
    """MB of anonymous memory above that of the loaded network after each of the batches."""
    words = [sys.executable, "-c", SCRIPT, path, SIDE, *batches]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


def test_memory_stays_flat_over_full_and_last_batches(convolutions):
    first, *others = growth(convolutions, 4, 4, 3, 4, 2, 4, 1, 4, 4)
    activations = 4 * CHANNELS * SIDE * SIDE * 4 / 2**20
    assert first > activations, "the test must see what a run takes"
    assert max(others) < first + 0.5 * activations


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return color_net(tmp_path_factory.mktemp("net") / "net.onnx")


def spec(net, **options):
    return SessionSpec(str(net), "data", ("scores",), "NCHW", False, **options)


def test_every_run_gives_the_same_scores(net):
    session = Session(spec(net), threads=1)
    images = np.random.default_rng(0).standard_normal((5, 3, SIZE, SIZE)).astype(np.float32)
    expected = onnxruntime.InferenceSession(net).run(None, {"data": images})[0]
    for size in (5, 5, 2):
        scores, features = session(images[:size])
        np.testing.assert_allclose(scores, expected[:size], rtol=1e-5, atol=1e-5)
        assert features is None


@pytest.mark.parametrize(("own", "asked", "sizes"), [(3, None, [3, 3, 1]), (3, 5, [5, 2])])
def test_a_network_says_its_micro_batch_unless_the_user_does(net, own, asked, sizes, monkeypatch):
    maker = ImageResizer(DecodeOptions(), (PROFILE.resize_spec(),), Protocol())
    (packer,) = maker.packers(7)
    for number in range(7):
        packer.add(maker(jpeg(cut(number)))[0])
    seen = []
    run = Session.__call__

    def counted(session, values):
        seen.append(len(values))
        return run(session, values)

    monkeypatch.setattr(Session, "__call__", counted)
    networks = [NetworkSpec(spec(net, micro_batch=own), None)]
    Classifier(networks, micro_batch=asked, pin=False)([packer.packed()], [PROFILE])
    assert seen == sizes
