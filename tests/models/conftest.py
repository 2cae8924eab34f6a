import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from vggbatch.models.preparation import build, making


@pytest.fixture
def built_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is prepared is built in this process, for tests of what comes of it."""
    monkeypatch.setattr(
        making, "_run_build", lambda _, job: build.build(pickle.loads(job.read_bytes()))
    )


@pytest.fixture(scope="session")
def light_vgg19() -> Path:
    """The zoo's real vgg19-caffe2-9 graph, every weight 1, from the onnx wheel."""
    return Path(onnx.__file__).parent / "backend/test/data/light/light_vgg19.onnx"


@pytest.fixture
def thin_vgg19(light_vgg19) -> onnx.ModelProto:
    """The same nodes with random weights, a sixteenth as wide, for images of 32 x 32."""
    model, rng = onnx.load(light_vgg19), np.random.default_rng(0)
    graph = model.graph
    shapes = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == 7}
    del graph.initializer[:]
    for name, shape in shapes.items():
        weight = name.removesuffix("__SHAPE")
        thin = [s // 16 if s > 3 and s != 1000 else s for s in shape]
        if weight == "fc6_w_0":
            thin = [256, 32]
        deviation = np.sqrt(2 / np.prod(thin[1:])) if len(thin) > 1 else 0.1
        value = rng.normal(0, deviation, thin).astype(np.float32)
        if weight == "OC2_DUMMY_1":
            value = np.array([1, 32])
        graph.initializer.append(numpy_helper.from_array(value, weight))
    for name in ("conv1_1_b_0", "conv1_2_b_0"):
        graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.float32), name))
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    data = next(v for v in graph.input if v.name == "data_0")
    data = onnx.ValueInfoProto.FromString(data.SerializeToString())
    for d in data.type.tensor_type.shape.dim[2:]:
        d.dim_value = 32
    del graph.input[:]
    graph.input.append(data)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
        for t in graph.initializer
    )
    onnx.checker.check_model(model)
    return model
