"""Every fault provoked on real nodes: other versions, wrong keys, too little room, no answer."""

import contextlib
import os
import platform
import signal
import subprocess
import sys
import uuid
from importlib import metadata
from pathlib import Path

import pytest

import vggbatch
from tests.support.images import write_folder
from tests.support.ray.cluster import command, ray_nodes
from tests.support.ray.ray_nodes import ray_nodes as started_nodes
from tests.support.stores.s3 import READER

MEMORY = Path("/sys/fs/cgroup/memory")

OTHER_VERSION = """
import vggbatch.versions
vggbatch.versions.__version__ = "0.0.1"
"""
OTHER_PYTHON = """
import sys
class Info(tuple):
    major, minor, micro, releaselevel, serial = *sys.version_info[:2], 99, "final", 0
sys.version_info = Info([*sys.version_info[:2], 99, "final", 0])
"""
NOT_INSTALLED = """
import sys
sys.modules["vggbatch.cluster.node_report"] = None
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


def customized(folder, code):
    """The environment of a node whose Python processes run some code at their start."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()])}


@pytest.mark.slow
def test_a_healthy_cluster_passes_and_nothing_is_left(nodes, net, tmp_path):
    write_folder(tmp_path / "images", 1)
    out, _ = plan(nodes, tmp_path / "images", "-o", tmp_path / "out", "-m", net, status=0)
    assert "1 classifier of 1 thread each" in out
    assert "on 1 CPU of 1 node" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


@pytest.mark.slow  # nodes have to answer in time, which those of a busy machine may not
def test_all_faults_of_all_nodes_are_told_at_once(nodes, net, tmp_path, s3_server):
    import s3fs

    s3fs.S3FileSystem().mkdir("preflight")
    write_folder(tmp_path / "images", 1)
    other = nodes.add(env=customized(tmp_path / "other", OTHER_VERSION))
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
    bare = nodes.add(env=customized(tmp_path / "bare", NOT_INSTALLED))
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


@pytest.fixture(scope="module")
def unfit(_s3_process, cache_folder, tmp_path_factory):
    """A cluster with a node for each fault, and the folder that is another one on the last."""
    if os.getuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("mounting small disks takes root")
    folder = tmp_path_factory.mktemp("unfit")
    for name in ("packages", "elsewhere"):
        (folder / name).mkdir()
    for name in ("onnxruntime-1.0.0", "ray-2.59.0"):
        (folder / f"packages/{name}.dist-info").mkdir()
        words = (
            f"Metadata-Version: 2.1\nName: {name.split('-')[0]}\nVersion: {name.split('-')[1]}\n"
        )
        (folder / f"packages/{name}.dist-info/METADATA").write_text(words)
    environ = {**_s3_process.environ, "VGGBATCH_CACHE_DIR": str(cache_folder)}
    with (
        limited_memory(1_500 * 2**20) as group,
        started_nodes(folder, **environ) as cluster,
    ):
        cluster.add(environ={"PYTHONPATH": f"{folder / 'packages'}:{os.getcwd()}"})
        cluster.add(environ={"AWS_SECRET_ACCESS_KEY": "wrong"})
        cluster.add(inside=mounted(f"mount -t tmpfs -o ro tmpfs {cache_folder}"))
        cluster.add(inside=mounted(f"mount -t tmpfs -o size=64k tmpfs {cache_folder}"))
        cluster.add(
            8,
            inside=mounted(f"echo $$ > {group}/cgroup.procs", f"mount --bind {group} {MEMORY}"),
        )
        cluster.add(
            inside=mounted(
                f"mount -t tmpfs -o size=300m tmpfs {cluster.sessions}",
                f"mount -t tmpfs tmpfs {folder / 'elsewhere'}",
            ),
        )
        yield cluster, folder / "elsewhere"


def mounted(*steps):
    """A command that runs another one where things are mounted that nobody else sees."""
    return ["unshare", "--mount", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"]


@contextlib.contextmanager
def limited_memory(size):
    """A control group, of the version whose files are in a folder of that name."""
    group = MEMORY / f"vggbatch-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(size))
    except OSError as error:
        pytest.skip(f"this machine lets nobody set limits: {error}")
    try:
        yield group
    finally:
        group.rmdir()


@pytest.mark.slow
def test_each_fault_of_a_node_is_told_with_what_to_do(
    unfit, net, tmp_path, cache_folder, s3_server
):
    import s3fs

    cluster, elsewhere = unfit
    s3fs.S3FileSystem().mkdir("unfit")
    write_folder(tmp_path / "images", 1)
    s3fs.S3FileSystem().put(str(tmp_path / "images/00000.jpg"), "unfit/in/00000.jpg")
    inputs = ["s3://unfit/in", "-m", net, "--set", "compute.threads=1"]
    _, err = plan(cluster, *inputs, "-o", "s3://unfit/out", status=2)
    here = {name: metadata.version(name) for name in ("ray", "onnxruntime")}
    expected = [
        f"has ray 2.59.0 (here {here['ray']}), onnxruntime 1.0.0 (here {here['onnxruntime']}): ",
        "cannot read s3://unfit/in/00000.jpg, which can be read here (",
        "cannot write to s3://unfit/out (",
        f"cannot write to the model cache {cache_folder}: set cache_dir or VGGBATCH_CACHE_DIR",
        "has 0.00 GB free for the model cache ",
        "of memory free and 8 classifiers of net take 1.81 GB with an image to decode: ",
        f"free for Ray's {cluster.sessions}/6, which takes 0.54 GB at least: ",
    ]
    assert err[0] == "error: the run cannot start:"
    assert len(err) == len(expected) + 1, "\n".join(err)
    for words in expected:
        assert sum(words in line for line in err) == 1, (words, err)
    _, err = plan(cluster, *inputs, "-o", elsewhere / "out", status=2)
    assert sum(f"has another {elsewhere}/out than this machine: " in line for line in err) == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_ray_itself_refuses_another_python(unfit, net, tmp_path):
    cluster, _ = unfit
    write_folder(tmp_path / "images", 1)
    other = customized(tmp_path / "other", OTHER_PYTHON)
    driver = command(
        *("plan", tmp_path / "images", "-o", tmp_path / "out", "-m", net),
        *("--address", cluster.address),
        **other,
    )
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 1
    *_, line = err.splitlines()
    assert line.startswith(f"error: cannot join the Ray cluster at {cluster.address}: Version mis")
    assert f"Python: {platform.python_version()} " in line
    assert f"Python: {sys.version_info.major}.{sys.version_info.minor}.99" in line
    assert "Traceback" not in err
    with pytest.raises(RuntimeError, match=r"Version mismatch"):
        cluster.add(environ=other)
    # it is there no more, and nothing is to be waited for
    cluster.nodes.pop().process.wait(30)


def about(node, lines):
    """The only line about a node."""
    (line,) = [line for line in lines if node[:8] in line]
    return line
