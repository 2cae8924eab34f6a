"""What is seen of activations, against plain numpy and onnxruntime's own calibrators."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationMethod, create_calibrator

from tests.quantization.test_quantizer import NORMALISE, images
from vggbatch.models.graphs.graph import make_batchable
from vggbatch.models.synthesis import synthesize
from vggbatch.quantization.calibration import (
    QUANTIZED,
    Histograms,
    LocalObserver,
    Ranges,
    calibrate,
)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    model = synthesize("vgg16-12", shrink=16, size=32)
    make_batchable(model, input_name="data")
    path = tmp_path_factory.mktemp("graph") / "net.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def observer(graph):
    return LocalObserver(graph, "data", NORMALISE)


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


class Reader:
    def __init__(self, pixels):
        self.left = [{"data": NORMALISE(pixels[i : i + 4])} for i in range(0, len(pixels), 4)]

    def get_next(self):
        return self.left.pop(0) if self.left else None


def test_ranges_are_those_of_onnxruntimes_calibrator(graph, observer, tmp_path):
    pixels = images(10, 0)
    path = str(tmp_path / "augmented.onnx")
    theirs = create_calibrator(graph, QUANTIZED, path, CalibrationMethod.MinMax)
    theirs.collect_data(Reader(pixels))
    expected = theirs.compute_data()
    found = calibrate(observer, pixels, "minmax")
    assert set(found.keys()) == set(expected.keys())
    for name in found.keys():  # noqa: SIM118 (it is no dict)
        np.testing.assert_allclose(found[name].range_value, np.ravel(expected[name].range_value))


def test_histograms_count_every_value_where_it_lies(observer):
    pixels = images(9, 1)
    ranges = observer.ranges(pixels)
    counts = observer.histograms(pixels, ranges, 64).counts
    values = NORMALISE(pixels)
    limit = np.abs(values).max()
    expected = np.histogram(values, 64, (-limit, limit))[0]
    np.testing.assert_array_equal(counts["data"], expected)
    assert {int(count.sum()) % 9 for count in counts.values()} == {0}


def test_sums_of_parts_are_what_all_at_once_gives(observer):
    pixels = images(12, 2)
    parts = [pixels[8:], pixels[:4], pixels[4:8]]
    whole = observer.ranges(pixels)
    ranges = [observer.ranges(part) for part in parts]
    merged = sum(ranges[1:], ranges[0])
    assert same(whole.low, merged.low)
    assert same(whole.high, merged.high)
    seen = [observer.histograms(part, whole, 256) for part in parts]
    assert same(observer.histograms(pixels, whole, 256).counts, sum(seen[1:], seen[0]).counts)


class Heavy:
    """One tensor: a bell with two values far out."""

    values = np.append(np.random.default_rng(0).normal(0, 1, 1_000_000), [-60, 90])

    def ranges(self, pixels):
        low, high = np.float32(self.values.min()), np.float32(self.values.max())
        return Ranges({"t": low}, {"t": high})

    def histograms(self, pixels, ranges, bins):
        limit = ranges.limit("t")
        return Histograms({"t": np.histogram(self.values, bins, (-limit, limit))[0]})


def test_values_far_out_are_cut_off():
    low, high = calibrate(Heavy(), images(1, 0), "percentile")["t"].range_value
    assert -6 < low < -2
    assert 2 < high < 6
    assert calibrate(Heavy(), images(1, 0), "minmax")["t"].range_value == (-60, 90)


def test_the_percentile_is_numpys(observer):
    pixels = images(8, 3)
    values = NORMALISE(pixels)
    low, high = calibrate(observer, pixels, "percentile")["data"].range_value
    step = 2 * float(np.abs(values).max()) / 2048
    assert high == pytest.approx(np.percentile(values, 99.9995), abs=2 * step)
    assert low == pytest.approx(np.percentile(values, 0.0005), abs=2 * step)


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["minmax", "percentile"])
def test_memory_does_not_grow_with_the_images(calibration, tmp_path):
    model = synthesize("vgg16-12", shrink=4, size=64)
    make_batchable(model, input_name="data")
    onnx.save(model, tmp_path / "net.onnx")
    code = """
    import json, resource, sys
    from pathlib import Path
    from tests.quantization.test_quantizer import NORMALISE, images
    from vggbatch.quantization.calibration import LocalObserver, calibrate

    folder, calibration = Path(sys.argv[1]), sys.argv[2]
    observer = LocalObserver(folder / "net.onnx", "data", NORMALISE)
    pixels, peaks = images(200, 0).repeat(2, 1).repeat(2, 2), []
    held = sum(values.nbytes for values in next(observer._activations(pixels[:1])).values())
    for count in (20, 50, 200):
        calibrate(observer, pixels[:count], calibration)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    print(json.dumps([held, *peaks]))
    """
    words = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), calibration]
    done = subprocess.run(words, capture_output=True, check=True)
    held, few, more, many = json.loads(done.stdout)
    assert more - few < 10 * held
    assert many - few < 20 * held
