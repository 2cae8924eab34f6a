"""Every check provoked on real nodes: other versions, a stopped node, keys that may not write."""

import os
import signal

import pytest

import vggbatch
from tests.cluster import command, ray_nodes
from tests.images import write_folder
from tests.s3 import READER

OTHER_VERSION = """
import vggbatch.version
vggbatch.version.__version__ = "0.0.1"
"""
NOT_INSTALLED = """
import sys
sys.modules["vggbatch.pipeline.probe"] = None
"""


@pytest.fixture(scope="module")
def nodes(_s3_process):
    with ray_nodes(**_s3_process.environ) as cluster:
        cluster.add()
        yield cluster


def plan(nodes, *arguments, status):
    done = command("plan", *arguments, "--address", nodes.address)
    out, err = done.communicate(timeout=120)
    assert done.returncode == status, out + err
    return out, err.splitlines()


def customised(folder, code):
    """The environment of a node whose Python processes run some code at their start."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()])}


def test_a_healthy_cluster_passes_and_nothing_is_left(nodes, net, tmp_path):
    write_folder(tmp_path / "images", 1)
    out, _ = plan(nodes, tmp_path / "images", "-o", tmp_path / "out", "-m", net, status=0)
    assert "1 classifier of 1 thread each" in out
    assert "on 1 CPU of 1 node" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_all_faults_of_all_nodes_are_told_at_once(nodes, net, tmp_path, s3_server):
    import s3fs

    s3fs.S3FileSystem().mkdir("preflight")
    write_folder(tmp_path / "images", 1)
    other = nodes.add(env=customised(tmp_path / "other", OTHER_VERSION))
    reader = nodes.add(env=READER)
    inputs = [tmp_path / "images", "-o", "s3://preflight/out", "-m", net]
    try:
        _, err = plan(nodes, *inputs, status=2)
    finally:
        nodes.kill(other)
        nodes.kill(reader)
    first, *lines = err
    assert first == "error: the run cannot start:"
    assert len(lines) == 2
    assert f"has vggbatch 0.0.1 (here {vggbatch.__version__})" in about(other, lines)
    assert "cannot write to s3://preflight/out" in about(reader, lines)
    assert s3fs.S3FileSystem().find("preflight") == []


@pytest.mark.slow
def test_a_node_that_cannot_answer_is_named(nodes, net, tmp_path):
    write_folder(tmp_path / "images", 1)
    bare = nodes.add(env=customised(tmp_path / "bare", NOT_INSTALLED))
    stopped = nodes.add()
    os.kill(nodes.raylet(stopped), signal.SIGSTOP)
    try:
        _, err = plan(nodes, tmp_path / "images", "-o", tmp_path / "out", "-m", net, status=2)
    finally:
        os.kill(nodes.raylet(stopped), signal.SIGCONT)
        nodes.kill(bare)
        nodes.kill(stopped)
    assert "cannot run this vggbatch (ModuleNotFoundError" in about(bare, err)
    assert "does not answer within 20 s" in about(stopped, err)


def about(node, lines):
    """The only line about a node."""
    (line,) = [line for line in lines if node[:8] in line]
    return line
