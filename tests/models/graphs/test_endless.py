"""Networks with loops that nothing bounds are refused before anything of them is run."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vggbatch.config import ModelOptions
from vggbatch.errors import UsageError
from vggbatch.models.graphs.endless import check_ends
from vggbatch.models.resolve import resolve


def loop(count: str, body: list[onnx.NodeProto] = (), name: str = "l") -> onnx.NodeProto:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), *body],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )
    return helper.make_node("Loop", [count, "true"], [], name=name, body=graph)


def network(*nodes: onnx.NodeProto, functions=()) -> onnx.ModelProto:
    graph = helper.make_graph(
        [*nodes, helper.make_node("Flatten", ["x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 12])],
        [
            numpy_helper.from_array(np.array(9), "nine"),
            numpy_helper.from_array(np.array(2**62), "huge"),
            numpy_helper.from_array(np.array(200), "many"),
            numpy_helper.from_array(np.array([1, 2]), "two"),
            numpy_helper.from_array(np.array(True), "true"),
        ],
    )
    return helper.make_model(graph, functions=functions)


SIZE = helper.make_node("Size", ["x"], ["computed"])
INNER = helper.make_node("Constant", [], ["k"], value_int=8)
BRANCH = helper.make_graph([loop("", name="inside")], "branch", [], [])
FUNCTION = helper.make_function("own", "F", [], [], [loop("")], [helper.make_opsetid("", 18)])
ENDLESS = {
    "no count": network(loop("")),
    "a huge count": network(loop("huge")),
    "a computed count": network(SIZE, loop("computed")),
    "a count of two": network(loop("two")),
    "loops in loops": network(loop("many", [loop("many")])),
    "in a branch": network(helper.make_node("If", ["true"], [], then_branch=BRANCH)),
    "in a function": network(functions=[FUNCTION]),
}


@pytest.mark.parametrize("model", ENDLESS.values(), ids=ENDLESS)
def test_endless_networks_are_refused(model):
    with pytest.raises(UsageError, match="without end"):
        check_ends(model, "a.onnx")


def test_bounded_loops_are_taken():
    check_ends(network(loop("nine"), INNER, loop("k"), loop("nine", [loop("nine")])), "a.onnx")


def test_an_endless_network_is_one_line(tmp_path):
    onnx.save(ENDLESS["no count"], tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="export it without the loop"):
        resolve(ModelOptions(name=str(tmp_path / "a.onnx")))
