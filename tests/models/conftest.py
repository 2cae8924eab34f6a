from pathlib import Path

import onnx
import pytest


@pytest.fixture(scope="session")
def light_vgg19() -> Path:
    """The zoo's real vgg19-caffe2-9 graph, every weight 1, from the onnx wheel."""
    return Path(onnx.__file__).parent / "backend/test/data/light/light_vgg19.onnx"
