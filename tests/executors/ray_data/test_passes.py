"""What dies in a run is made good by it, or ends it with the reason; nothing hangs."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from tests.support.crashing import MAGIC, classifier_environment, environment
from tests.support.images import write_folder
from vggbatch import api
from vggbatch.config import load_config
from vggbatch.errors import JobFailed
from vggbatch.executors.ray_data.internals import read_stages


@pytest.mark.slow
def test_an_image_that_kills_its_worker_becomes_an_error_row(net, tmp_path):
    """The real thing: Ray's decoding worker segfaults, again and again, on one image of 20."""
    names = write_folder(tmp_path / "images", 20)
    (tmp_path / "images/00007x.jpg").write_bytes(MAGIC + bytes(500))
    (tmp_path / "plugin").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vggbatch", "score", tmp_path / "images", "-m", net),
            *("-o", tmp_path / "out", "--set", "chunk_size=5", "--executor", "ray"),
        ],
        env={**os.environ, **environment(tmp_path / "plugin")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["image_id"]: row for row in api.load_predictions(str(tmp_path / "out")).to_pylist()}
    assert sorted(rows) == sorted([*names, "00007x.jpg"])
    assert rows["00007x.jpg"]["error"].startswith(
        "crash: the decoding process ended with signal 11"
    )
    assert all(rows[name]["error"] is None for name in names)
    assert "1 crash" in done.stdout


@pytest.mark.slow
def test_an_image_that_kills_its_classifier_ends_the_run_with_the_others_safe(net, tmp_path):
    """Ray's classifiers die of it, a few times in two passes."""
    write_folder(tmp_path / "images", 20)
    Image.new("RGB", (72, 56), "white").save(tmp_path / "images/00007x.png")
    (tmp_path / "plugin").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "vggbatch", "score", tmp_path / "images", "-m", net),
            *("-o", tmp_path / "out", "--set", "chunk_size=5", "--executor", "ray"),
        ],
        env={**os.environ, **classifier_environment(tmp_path / "plugin")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "lost again and again with the processes that had them; 16 rows are safe" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_pass_begins_while_all_cpus_are_held(net, tmp_path):
    """What holds them may be a classifier of the pass before, which waits for no one."""
    import ray

    class Holder:
        def there(self):
            pass

    write_folder(tmp_path / "images", 4)
    options = {"input": (str(tmp_path / "images"),), "model": str(net)}
    config = load_config(options={**options, "output": str(tmp_path / "out")}, environ={})
    holder = ray.remote(num_cpus=2)(Holder).remote()
    ray.get(holder.there.remote())
    with ThreadPoolExecutor(1) as pool:
        scored = pool.submit(api.score, config)
        try:
            deadline = time.monotonic() + 60
            while not read_stages() and time.monotonic() < deadline and not scored.done():
                time.sleep(0.1)
            assert read_stages(), "the stages have not started"
        finally:
            ray.kill(holder)
        assert scored.result().result.rows == 4


@pytest.mark.usefixtures("ray_cluster")
def test_a_classifier_that_cannot_start_ends_the_run_with_the_reason(net, tmp_path, monkeypatch):
    write_folder(tmp_path / "images", 4)
    options = {"input": (str(tmp_path / "images"),), "model": str(net)}
    config = load_config(options={**options, "output": str(tmp_path / "out")}, environ={})

    class Missing:
        def __call__(self):
            raise FileNotFoundError("no model on this node")

    monkeypatch.setattr("vggbatch.job.networks.network_opener", lambda job, sources=None: Missing())
    with pytest.raises(JobFailed, match="no model on this node"):
        api.score(config)
    monkeypatch.undo()
    assert api.score(config).result.rows == 4
