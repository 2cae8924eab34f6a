"""Networks as exporters write them: whatever their ports, row i is of image i, and the scores are
those of the arithmetic behind them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.nets import CLASSES, SIZE, color_net
from vggbatch.classifier.session import Session
from vggbatch.config import ModelOptions
from vggbatch.errors import UsageError
from vggbatch.job.networks import open_model
from vggbatch.models.resolve import resolve

pytestmark = pytest.mark.usefixtures("built_here")

FLOAT, FLOAT16, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64


class Net:
    """A network of colors to edit: cells, flattened, through one dense layer."""

    def __init__(self, path, batch="N"):
        self.path = path
        self.model = onnx.load(color_net(path, batch=batch))
        self.graph = self.model.graph
        self.weight = numpy_helper.to_array(self.graph.initializer[0])

    def expected(self, values):
        cells = values.reshape(len(values), 3, 8, 4, 8, 4).mean(axis=(3, 5))
        return cells.reshape(len(values), -1).astype(np.float64) @ self.weight.T.astype(np.float64)

    def constant(self, name, value):
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))

    def append(self, *nodes):
        self.graph.node.extend(nodes)

    def outputs(self, *values):
        del self.graph.output[:]
        self.graph.output.extend(helper.make_tensor_value_info(*value) for value in values)

    def input(self, kind, shape, name="data"):
        del self.graph.input[:]
        self.graph.input.append(helper.make_tensor_value_info(name, kind, shape))

    def opened(self, cache, **options):
        onnx.save(self.model, self.path)
        model = resolve(ModelOptions(name=str(self.path), **options), cache_dir=str(cache))
        spec = open_model(model, str(cache), False)
        return model, spec, Session(spec, 1)


def images(count=5, scale=1.0):
    rng = np.random.default_rng(3)
    means, spreads = rng.normal(0, 1, (count, 3, 1, 1)), rng.uniform(0.2, 2, (count, 1, 1, 1))
    return ((means + spreads * rng.normal(0, 1, (count, 3, SIZE, SIZE))) * scale).astype(np.float32)


def softmax(rows):
    exponents = np.exp(rows - rows.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def softmax_moved(net):
    """Keras and float16 exports have Identity, Reshape or Cast behind their Softmax."""
    net.constant("shape", np.array([-1, CLASSES], np.int64))
    net.append(
        helper.make_node("Softmax", ["scores"], ["p"], axis=1),
        helper.make_node("Identity", ["p"], ["p/1:0"]),
        helper.make_node("Reshape", ["p/1:0", "shape"], ["p/2:0"]),
        helper.make_node("Cast", ["p/2:0"], ["probs:0"], to=FLOAT),
    )
    net.outputs(("probs:0", FLOAT, None))
    return "probabilities", None


def argmax_first(net):
    """MLPerf's ResNet-50: the class first, as int64, then the scores."""
    net.append(helper.make_node("ArgMax", ["scores"], ["class"], axis=1, keepdims=0))
    net.outputs(("class", INT64, ["N"]), ("scores", FLOAT, ["N", CLASSES]))
    return "logits", None


def features_first(net):
    """timm's and optimum's feature outputs beside the logits."""
    net.outputs(("flat", FLOAT, ["N", 192]), ("scores", FLOAT, ["N", CLASSES]))
    return "logits", None


def half_in_and_out(net):
    """A float16 conversion that did not keep its ports."""
    net.graph.node[0].input[0] = "wide"
    net.graph.node.insert(0, helper.make_node("Cast", ["data"], ["wide"], to=FLOAT))
    net.append(helper.make_node("Cast", ["scores"], ["half"], to=FLOAT16))
    net.input(FLOAT16, ["N", 3, SIZE, SIZE])
    net.outputs(("half", FLOAT16, ["N", CLASSES]))
    return "logits", None


def fixed_eight(net):
    """Exported for a batch of eight, which a Reshape knows too."""
    net.constant("shape", np.array([8, 192], np.int64))
    net.graph.node[1].CopyFrom(helper.make_node("Reshape", ["cells", "shape"], ["flat"]))
    net.outputs(("scores", FLOAT, [8, CLASSES]))
    return "logits", None


def eight_for_good(net):
    """The same where it cannot be freed: a constant of the batch's shape is added."""
    net.constant("zeros", np.zeros((8, CLASSES), np.float32))
    net.append(helper.make_node("Add", ["scores", "zeros"], ["sum"]))
    net.outputs(("sum", FLOAT, [8, CLASSES]))
    return "logits", 8


def squeezed(net):
    """The batch of one squeezed away."""
    net.append(helper.make_node("Squeeze", ["scores"], ["row"]))
    net.outputs(("row", FLOAT, [CLASSES]))
    return "logits", None


def token(net):
    """A class token that was exported with its batch of one, as ViTs have it."""
    net.constant("cls", np.zeros((1, 1, 192), np.float32))
    net.constant("axis", np.array([1], np.int64))
    net.constant("one", np.array(1, np.int64))
    net.graph.node.remove(net.graph.node[-1])
    net.append(
        helper.make_node("Unsqueeze", ["flat", "axis"], ["row"]),
        helper.make_node("Concat", ["cls", "row"], ["tokens"], axis=1),
        helper.make_node("Gather", ["tokens", "one"], ["second"], axis=1),
        helper.make_node("Gemm", ["second", "weight"], ["scores"], transB=1),
    )
    return "logits", 1


def free_but_for_a_shape(net):
    """Said to take any batch, with the exporter's one image left in a Reshape."""
    net.constant("shape", np.array([1, 192], np.int64))
    net.graph.node[1].CopyFrom(helper.make_node("Reshape", ["cells", "shape"], ["flat"]))
    return "logits", None


def log_softmax_of_maps(net):
    """Four dimensions, as fully convolutional networks end, and log-probabilities."""
    net.constant("axes", np.array([2, 3], np.int64))
    net.append(
        helper.make_node("LogSoftmax", ["scores"], ["log"], axis=1),
        helper.make_node("Unsqueeze", ["log", "axes"], ["map"]),
    )
    net.outputs(("map", FLOAT, ["N", CLASSES, 1, 1]))
    return "logits", None


def branch_over_dropout(net):
    """An If whose branches take a Dropout's output from outside."""
    net.constant("ratio", np.float32(0.5))
    net.constant("least", np.float32(-1e9))
    branches = {
        f"{kind}_branch": helper.make_graph(
            [helper.make_node("Identity", ["dropped"], [kind])],
            kind,
            [],
            [helper.make_tensor_value_info(kind, FLOAT, None)],
        )
        for kind in ("then", "else")
    }
    net.append(
        helper.make_node("Dropout", ["scores", "ratio"], ["dropped"]),
        helper.make_node("ReduceMax", ["scores"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "least"], ["yes"]),
        helper.make_node("If", ["yes"], ["chosen"], **branches),
    )
    net.outputs(("chosen", FLOAT, ["N", CLASSES]))
    return "logits", None


def function_called_linear(net):
    """A local function of PyTorch's exporter, whose name is not that of an integer operator."""
    function = helper.make_function(
        "pkg.torch",
        "Linear",
        ["x", "w"],
        ["y"],
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
        [helper.make_opsetid("", 13)],
    )
    net.model.functions.append(function)
    net.model.opset_import.append(helper.make_opsetid("pkg.torch", 1))
    net.graph.node[-1].CopyFrom(
        helper.make_node("Linear", ["flat", "weight"], ["scores"], domain="pkg.torch")
    )
    return "logits", None


def map_of_classes(net):
    """A label and a map from class to probability, as scikit-learn's and CoreML's converters do."""
    net.model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    labels = list(range(CLASSES))
    net.append(
        helper.make_node("Softmax", ["scores"], ["p"], axis=1),
        helper.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
        helper.make_node("ZipMap", ["p"], ["map"], domain="ai.onnx.ml", classlabels_int64s=labels),
    )
    net.outputs(("label", INT64, ["N"]))
    pairs = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, None))
    net.graph.output.append(helper.make_value_info("map", helper.make_sequence_type_proto(pairs)))
    return "probabilities", None


def named_map(net, labels):
    """`map_of_classes` with other labels."""
    map_of_classes(net)
    node = net.graph.node[-1]
    del node.attribute[:]
    key = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"
    node.attribute.append(helper.make_attribute(key, labels))
    if isinstance(labels[0], str):
        net.graph.output[-1].type.sequence_type.elem_type.map_type.key_type = TensorProto.STRING


def mixed_batch(net):
    """A mean over the batch: only an image alone has scores of its own."""
    net.append(
        helper.make_node("ReduceMean", ["scores"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "two"], ["twice"]),
        helper.make_node("Sub", ["twice", "scores"], ["mixed"]),
    )
    net.constant("two", np.float32(2))
    net.outputs(("mixed", FLOAT, ["N", CLASSES]))
    return "logits", 1


BATCHES = {fixed_eight: 8, eight_for_good: 8, squeezed: 1, token: 1}
QUICK = (softmax_moved, argmax_first, half_in_and_out, eight_for_good, token, map_of_classes)
THOROUGH = (
    features_first,
    fixed_eight,
    squeezed,
    free_but_for_a_shape,
    log_softmax_of_maps,
    branch_over_dropout,
    function_called_linear,
    mixed_batch,
)


@pytest.mark.parametrize(
    "edit", [*QUICK, *(pytest.param(edit, marks=pytest.mark.slow) for edit in THOROUGH)]
)
def test_every_export_gives_the_same_scores(edit, tmp_path):
    net = Net(tmp_path / "net.onnx", batch=BATCHES.get(edit, "N"))
    kind, batch = edit(net)
    model, spec, session = net.opened(tmp_path / "cache")
    assert (model.output, spec.batch) == (kind, batch)
    values = images()
    found, _ = session(values)
    expected = net.expected(values)
    found, expected = (
        rows if done else softmax(rows)
        for rows, done in ((found.astype(np.float64), kind == "probabilities"), (expected, False))
    )
    tolerance = 5e-2 if edit is half_in_and_out else 1e-4
    np.testing.assert_allclose(found, expected, atol=tolerance * expected.max())
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_uint8_pixels_last_channel(tmp_path):
    """TensorFlow Serving's networks normalize themselves, and put the channels last."""
    net = Net(tmp_path / "net.onnx")
    net.constant("scale", np.float32(1 / 255))
    net.graph.node[0].input[0] = "scaled"
    for node in (
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["wide"], ["float"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["input_1:0"], ["wide"], to=FLOAT),
    ):
        net.graph.node.insert(0, node)
    net.input(TensorProto.UINT8, ["N", "h", "w", 3], "input_1:0")
    net.path.with_suffix(".yaml").unlink()
    model, _, session = net.opened(
        tmp_path / "cache",
        preprocess={"resize": 36, "crop": 32, "scale": 1, "mean": [0, 0, 0], "std": [1, 1, 1]},
    )
    assert (model.layout, model.input_size) == ("NHWC", None)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    found, _ = session(pixels)
    expected = net.expected(pixels.transpose(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    with pytest.raises(UsageError, match="is uint8 and takes pixels as they are"):
        resolve(ModelOptions(name=str(net.path), preprocess="zoo"), cache_dir=str(tmp_path))


def test_one_sigmoid_is_two_classes(tmp_path):
    net = Net(tmp_path / "net.onnx")
    net.constant("first", np.array([3], np.int64))
    net.append(
        helper.make_node("Gather", ["scores", "first"], ["logit"], axis=1),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    )
    net.outputs(("p", FLOAT, ["N", 1]))
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    _, _, session = net.opened(tmp_path / "cache", classes=str(tmp_path / "names.txt"))
    values = images()
    found, _ = session(values)
    cat = 1 / (1 + np.exp(-net.expected(values)[:, 3]))
    np.testing.assert_allclose(found, np.stack([1 - cat, cat], axis=1), atol=1e-5)
    (tmp_path / "one.txt").write_text("cat\n")
    with pytest.raises(UsageError, match=r"has 1 output but .* two classes"):
        resolve(
            ModelOptions(name=str(net.path), classes=str(tmp_path / "one.txt")),
            cache_dir=str(tmp_path / "cache"),
        )


def test_classes_of_a_map_are_its_own(tmp_path):
    """scikit-learn's and Custom Vision's exports name the class of each score, in their order."""
    net = Net(tmp_path / "net.onnx")
    named_map(net, [f"class {7 * number % CLASSES}" for number in range(CLASSES)])
    model, _, _ = net.opened(tmp_path / "cache")
    assert model.classes[:3] == ("class 0", "class 7", "class 14")
    assert any("net.onnx's ZipMap" in found.value for found in model.assumptions)


def test_several_classes_at_once_need_a_word(tmp_path):
    net = Net(tmp_path / "net.onnx")
    (tmp_path / "config.json").write_text('{"problem_type": "multi_label_classification"}')
    with pytest.raises(UsageError, match="problem_type says that several classes may hold"):
        net.opened(tmp_path / "cache")
    onnx.save(net.model, net.path)
    options = ModelOptions(name=str(net.path), output="logits")
    assert resolve(options, cache_dir=str(tmp_path / "cache")).output == "logits"


def test_what_is_no_classifier_is_one_line(tmp_path):
    def refused(edit, message):
        net = Net(tmp_path / "net.onnx")
        edit(net)
        with pytest.raises(UsageError, match=message) as error:
            net.opened(tmp_path / "cache")
        assert "\n" not in str(error.value)

    refused(lambda net: net.input(FLOAT, ["N", 1, SIZE, SIZE]), "no 3 channels: only networks")
    refused(lambda net: net.input(FLOAT, ["N", 8, 3, SIZE, SIZE]), "no batch of images")
    refused(lambda net: net.input(TensorProto.STRING, ["N"]), "'data' string")
    refused(lambda net: net.outputs(("best", INT64, ["N"])), "no output of scores.*'best' int64")

    def wide(net):
        net.append(helper.make_node("Concat", ["scores", "scores"], ["both"], axis=1))
        net.outputs(("both", FLOAT, ["N", "C"]))

    refused(wide, "has 2000 outputs but .* 1000 classes")

    def sorted_scores(net):
        net.constant("all", np.array([CLASSES], np.int64))
        net.append(
            helper.make_node("TopK", ["scores", "all"], ["values", "indices"]),
            helper.make_node("Softmax", ["values"], ["best"], axis=1),
        )
        net.outputs(("best", FLOAT, ["N", CLASSES]), ("indices", INT64, ["N", CLASSES]))

    refused(sorted_scores, "no output of scores.*'best' float")

    def losses(net):
        net.append(
            helper.make_node("LogSoftmax", ["scores"], ["log"], axis=1),
            helper.make_node("Neg", ["log"], ["loss"]),
        )
        net.outputs(("loss", FLOAT, ["N", CLASSES]))

    refused(losses, "negated probabilities, or their logarithms")
    refused(lambda net: named_map(net, [*range(1, CLASSES + 1)]), "numbers its classes 1, 2, 3")
    by_name = sorted(map(str, range(CLASSES)))
    refused(lambda net: named_map(net, by_name), "numbers its classes 0, 1, 10")

    def broken(net):
        net.graph.node[-1].input[0] = "cells"

    refused(broken, r"cannot be run on its input 'data' float32 \[\?, 3, 32, 32\]")


def test_links_into_a_hubs_cache_are_followed(tmp_path):
    net = Net(tmp_path / "net.onnx")
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "r"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    onnx.save(
        net.model, blobs / "a", save_as_external_data=True, location="data", size_threshold=16
    )
    (blobs / "data").rename(blobs / "b")
    (snapshot / "model.onnx").symlink_to("../../blobs/a")
    (snapshot / "data").symlink_to("../../blobs/b")
    (snapshot / "model.yaml").write_text("preprocess: {resize: 36, crop: 32}\n")
    cache = str(tmp_path / "cache")
    model = resolve(ModelOptions(name=str(snapshot / "model.onnx")), cache_dir=cache)
    session = Session(open_model(model, cache, False), 1)
    values = images()
    np.testing.assert_allclose(session(values)[0], net.expected(values), atol=1e-3)
