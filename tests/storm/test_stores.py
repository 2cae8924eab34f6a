"""Stores that fill up or disappear: the run says so, keeps what it has, and continues later."""

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.support.images import write_folder
from tests.support.stores import s3
from tests.support.stores.faulty_proxy import faulty
from vggbatch import api
from vggbatch.config import load_config
from vggbatch.errors import VggbatchError
from vggbatch.runs.progress.status import read_status
from vggbatch.storage.filesystem import Folder

COUNT = 200


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_folder(folder, COUNT)
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 160 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def configure(images, net, output):
    options = {"input": (str(images),), "model": str(net), "output": output}
    return load_config(options=options, settings=["chunk_size=2"], environ={})


def check(output):
    ids = Counter(api.load_predictions(output, ["image_id"])["image_id"].to_pylist())
    assert ids == Counter(f"{number:05d}.jpg" for number in range(COUNT))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(images, net, small_disk):
    config = configure(images, net, str(small_disk / "out"))
    with pytest.raises((VggbatchError, OSError), match="No space left on device"):
        api.score(config)
    command = ["mount", "-o", "remount,size=64m", str(small_disk)]
    subprocess.run(command, check=True)
    before = read_status(Folder(config.output))
    assert before.state == "interrupted"
    assert 0 < before.rows < COUNT
    # tasks of the run that gave up may still have committed a chunk when there was room
    assert 0 < api.score(config).result.scored_now <= COUNT - before.rows
    check(config.output)
    left = [path for path in small_disk.rglob("*") if path.name.endswith(".partial")]
    assert not left


@pytest.mark.slow
def test_a_store_that_disappears_ends_the_run_and_its_return_lets_it_go_on(
    images, net, tmp_path, monkeypatch
):
    import s3fs

    process, server = s3.start(tmp_path)
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("stores")
    words = ["score", images, "-m", net, "-o", "s3://stores/out", "--set", "chunk_size=2"]
    command = [sys.executable, "-m", "vggbatch", *map(str, words)]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while not s3fs.S3FileSystem().glob("stores/out/_vggbatch/*/staging/*/*"):
            s3fs.S3FileSystem().invalidate_cache()
            assert run.poll() is None
            time.sleep(0.1)
        process.send_signal(19)  # SIGSTOP: connections hang, as behind a broken switch
        time.sleep(3)
        process.send_signal(18)
        time.sleep(1)
        process.kill()
        process.wait()
        _, stderr = run.communicate(timeout=400)
        assert run.returncode == 1
        assert "Traceback" not in stderr
        assert "error:" in stderr
        process, _ = s3.start(tmp_path)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        check("s3://stores/out")
    finally:
        run.kill()
        process.kill()
        process.wait()
        s3fs.S3FileSystem.clear_instance_cache()
    assert os.environ["AWS_ENDPOINT_URL"] == server.endpoint


@pytest.mark.slow
def test_a_store_that_refuses_and_cuts_now_and_then_is_asked_again(images, net, s3_server):
    import s3fs

    s3fs.S3FileSystem().mkdir("stores-refusing")
    words = ["score", images, "-m", net, "-o", "s3://stores-refusing/out", "--set", "chunk_size=4"]
    with faulty(s3_server.endpoint, share=0.15) as (endpoint, counts):
        done = subprocess.run(
            [sys.executable, "-m", "vggbatch", *map(str, words)],
            env={**os.environ, "AWS_ENDPOINT_URL": endpoint},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert counts["refused"] > 0
    assert counts["cut"] > 0
    check("s3://stores-refusing/out")
