"""Outlines of networks: what describes them stays, and a file that has changed is read again."""

import hashlib
import os
import time

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from vggbatch.errors import UsageError
from vggbatch.models import outline
from vggbatch.models.graphs.ports import read_ports
from vggbatch.models.outline import read_outline


def network(value: float = 0.0) -> onnx.ModelProto:
    """Scores of 1,000 classes from weights of more than 4 MiB; `value` is in all of them."""
    weights = np.full((3 * 20 * 20, 1000), value, np.float32)
    nodes = [
        helper.make_node("Reshape", ["image", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 3, 20, 20])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["N", 1000])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([-1, 1200]), "shape"),
        ],
    )
    return helper.make_model(graph)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A network's file of 4.8 MB, and notes of its own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = tmp_path / "net.onnx"
    onnx.save(network(), path)
    time.sleep(0.12)
    return path


@pytest.fixture
def reads(monkeypatch):
    """How often a file was read whole."""
    counted = []
    real = outline._find
    monkeypatch.setattr(outline, "_find", lambda *what: counted.append(1) or real(*what))
    return counted


def test_an_outline_describes_the_network_without_its_weights(file):
    found = read_outline(file, "net")
    whole = onnx.load(file)
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.model.ByteSize() < 1000
    assert read_ports(found.model) == read_ports(whole)
    weights, shape = found.model.graph.initializer
    assert (weights.name, list(weights.dims)) == ("weights", [1200, 1000])
    assert numpy_helper.to_array(shape).tolist() == [-1, 1200]


def test_a_large_file_is_read_once(file, reads):
    found = [read_outline(file, "net") for _ in range(4)]
    assert len(reads) == 1
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_file_that_was_exported_again_is_read_again(file, reads, keep_times):
    before = read_outline(file, "net")
    old = file.stat()
    onnx.save(network(1.0), file)
    if keep_times:
        os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    after = read_outline(file, "net")
    assert after.sha256 == hashlib.sha256(file.read_bytes()).hexdigest() != before.sha256
    assert len(reads) == 2


@pytest.mark.parametrize("damage", ["cut", "emptied", "foreign"])
def test_a_note_that_is_damaged_is_not_used(file, reads, tmp_path, damage):
    found = read_outline(file, "net")
    (note,) = (tmp_path / "vggbatch").iterdir()
    content = note.read_bytes()
    made = {"cut": content[:-1], "emptied": b"", "foreign": os.urandom(200)}
    note.write_bytes(made[damage])
    assert read_outline(file, "net") == found
    assert len(reads) == 2


def test_what_is_no_network_is_said_each_time(file):
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5_000_000))
    time.sleep(0.12)
    for _ in range(2):
        with pytest.raises(UsageError, match="net is no ONNX file"):
            read_outline(file, "net")
