"""Calibration by tasks of a real Ray, against that of one process."""

import functools

import onnx
import pytest

from tests.quantization.test_quantizer import NORMALISE, images, own
from vggbatch.errors import VggbatchError
from vggbatch.quantization.quantizer import Quantizer
from vggbatch.quantization.ray_calibration import ClusterObserver


@pytest.fixture
def network(tmp_path):
    return own("vgg16-12", tmp_path)[1]


@pytest.mark.parametrize("calibration", ["minmax", "percentile"])
def test_tasks_give_the_network_that_one_process_gives(calibration, network, ray_cluster, tmp_path):
    found = []
    # two tasks of a thread each, and here as many threads as there are cores
    apart = functools.partial(ClusterObserver, node_cpus=[1.0, 1.0])
    for options in ({}, {"observe": apart}):
        work = tmp_path / str(len(found))
        work.mkdir()
        pixels = images(13, 0)
        quantizer = Quantizer(network, pixels, NORMALISE, work, calibration=calibration, **options)
        quantizer.write(work / "int8.onnx")
        found.append(onnx.load(work / "int8.onnx").SerializeToString(deterministic=True))
    assert found[0] == found[1]


def test_more_tasks_than_batches_leave_none_empty(network, ray_cluster, tmp_path):
    observer = ClusterObserver(tmp_path / "net.onnx", "data", NORMALISE, node_cpus=[1.0, 1.0, 0.0])
    one = images(1, 0)
    ranges = observer.ranges(one)
    assert ranges.low["data"] == NORMALISE(one).min()
    assert int(observer.histograms(one, ranges, 8).counts["data"].sum()) == one.size


def test_what_fails_on_a_node_is_one_line(ray_cluster, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"no network")
    observer = ClusterObserver(tmp_path / "net.onnx", "data", NORMALISE, node_cpus=[2.0])
    with pytest.raises(VggbatchError, match="calibration failed on the cluster") as error:
        observer.ranges(images(1, 0))
    assert "\n" not in str(error.value)
