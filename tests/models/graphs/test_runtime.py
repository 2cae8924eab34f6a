import numpy as np
import onnx

from tests.support.nets import SIZE, slow_net
from vggbatch.models.graphs.runtime import open_network, write_optimized


def kinds(path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_an_optimised_file_computes_the_same(tmp_path):
    net, written = slow_net(tmp_path / "net.onnx"), tmp_path / "optimized.onnx"
    write_optimized(net, written)
    assert kinds(written) != kinds(net)
    first, second = (open_network(path, optimize=False) for path in (net, written))
    given = {"data": np.full((1, 3, SIZE, SIZE), 0.5, np.float32)}
    np.testing.assert_allclose(*(run.run(None, given)[0] for run in (first, second)), rtol=1e-4)


def test_settings_reach_the_session(net, tmp_path):
    write_optimized(
        net,
        tmp_path / "model.onnx",
        settings={
            "optimized_model_external_initializers_file_name": "model.data",
            "optimized_model_external_initializers_min_size_in_bytes": "1",
        },
    )
    assert (tmp_path / "model.data").stat().st_size > 0
