"""A submitted job over S3 that loses two of three nodes and gets one: the output is the same."""

import os
import subprocess
import sys
import time

import pytest

from tests.support.images import write_folder
from tests.support.ray.cluster import command
from tests.support.ray.ray_nodes import ray_nodes
from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.runs.progress.status import read_status
from vggbatch.sources.pack import pack
from vggbatch.storage.filesystem import Folder

COUNT = 1500
COLUMNS = ["image_id", "label", "top5_index", "top5_probability", "top5_synset", "error"]


@pytest.mark.slow
def test_a_node_dies_another_is_taken_away_and_a_third_joins(
    tmp_path, cache_folder, net, s3_server
):
    import s3fs

    s3fs.S3FileSystem().mkdir("submit")
    write_folder(tmp_path / "images", COUNT)
    source = [str(tmp_path / "images")]
    list(pack(source, "s3://submit/shards", shard_format="tar", shard_size=300_000))
    assert len(Folder("s3://submit/shards").list(suffix=".tar")) > 5
    # credentials are the nodes' own and no part of the job
    environ = {**s3_server.environ, "VGGBATCH_CACHE_DIR": str(cache_folder)}
    scored = ["score", "s3://submit/shards/*.tar", "-m", net]
    with ray_nodes(tmp_path, 1, 1, 1, **environ) as cluster:
        words = [*scored, "-o", "s3://submit/out", "--set", "chunk_size=4"]
        client = subprocess.Popen(
            [
                *(sys.executable, "-m", "vggbatch", "submit", "--address", cluster.dashboard),
                *("--wait", "--", *map(str, words)),
            ],
            env={**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_until(client, lambda rows: rows > COUNT // 6)
            cluster.nodes[1].kill()
            struck = rows_in("s3://submit/out")
            cluster.add(1)
            drained = cluster.nodes[2]
            drained.drain()
            printed, _ = client.communicate(timeout=240)
            drained.process.wait(30)
            assert "Draining" in drained.log.read_text()
        finally:
            client.kill()
    print(printed)
    assert client.returncode == 0, printed
    assert COUNT // 6 < struck < COUNT, "the run ended before the node did"
    # a process of its own: a Ray that other tests share has no credentials for this store
    alone = command(*scored, "-o", tmp_path / "local", **environ)
    _, errors = alone.communicate(timeout=120)
    assert alone.returncode == 0, errors
    first, second = (
        api.load_predictions(output, COLUMNS).sort_by("image_id")
        for output in ("s3://submit/out", str(tmp_path / "local"))
    )
    assert first.num_rows == COUNT
    assert first.equals(second)


def rows_in(output):
    try:
        return read_status(Folder(output)).rows
    except UsageError:  # not begun
        return 0


def wait_until(client, condition):
    deadline = time.monotonic() + 180
    while not condition(rows_in("s3://submit/out")):
        assert client.poll() is None, client.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
