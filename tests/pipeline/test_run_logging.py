"""Log lines as a collector gets them: one JSON object a line, from the driver and the workers."""

import contextlib
import json
import logging
import subprocess
import sys

from tests.support.images import write_folder
from tests.support.ray.cluster import command
from vggbatch.chunks.chunk import ChunkKey
from vggbatch.pipeline.run_logging import (
    JsonFormatter,
    RunLogger,
    TextFormatter,
    chunk_fields,
    run_logged,
)


def test_a_line_carries_its_run_and_what_it_is_about(caplog):
    with caplog.at_level(logging.INFO):
        RunLogger("vggbatch.x", "run1").info("done", extra=chunk_fields(ChunkKey(1, 2, 3, 4, 5)))
    (record,) = caplog.records
    assert (record.run_id, record.group, record.shard, record.chunk) == ("run1", 1, 2, 3)
    assert record.host
    assert chunk_fields(ChunkKey(1, 2, -1, -1, -1)) == {"group": 1, "shard": 2}


def test_lines_for_people_and_for_collectors_have_the_same_fields():
    given = {"msg": "chunk %s", "args": ("failed",), "shard": 3, "_ray_x": 1}
    record = logging.makeLogRecord(given)
    assert TextFormatter().format(record).endswith(" chunk failed shard=3")
    said = json.loads(JsonFormatter().format(record))
    assert (said["message"], said["shard"]) == ("chunk failed", 3)


def test_a_run_that_fails_says_with_what(caplog):
    log = RunLogger("vggbatch.x", "run1")
    with caplog.at_level(logging.INFO), contextlib.suppress(OSError), run_logged(log, images=3):
        raise OSError("the disk is full")
    started, ended = caplog.records
    assert (started.images, ended.failure) == (3, "OSError: the disk is full")


def test_a_run_with_json_logs(net, tmp_path):
    write_folder(tmp_path / "images", 3)
    arguments = ["score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"]
    done = command(*arguments, "--set", "compute.log_format=json")
    _, err = done.communicate(timeout=170)
    assert done.returncode == 0, err
    first, *_, last = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    record = json.loads((tmp_path / "out/run.json").read_text())
    for line, message in ((first, "run started"), (last, "run ended")):
        assert line["message"] == message
        assert line["run_id"] == record["this_run"]["run_id"]
        assert line["host"]
    assert first["images_expected"] == 3
    assert last["seconds"] > 0
    assert "failure" not in last


def test_a_normal_terminal_is_free_of_them(net, tmp_path):
    write_folder(tmp_path / "images", 3)
    done = command("score", tmp_path / "images", "-m", net, "-o", tmp_path / "out")
    _, err = done.communicate(timeout=170)
    assert done.returncode == 0, err
    assert "run started" not in err
    # what is scored, and on a slow machine that it takes a while
    assert len(err.splitlines()) <= 4, err


def test_a_second_run_of_a_process_logs_each_line_once(net, tmp_path):
    write_folder(tmp_path / "images", 2)
    program = f"""
import logging
from vggbatch import api
from vggbatch.config import load_config
for name in ("one", "two"):
    options = {{"input": ({str(tmp_path / "images")!r},), "model": {str(net)!r}}}
    options |= {{"output": {str(tmp_path)!r} + "/" + name, "compute.log_format": "json"}}
    api.score(load_config(options=options, environ={{}}))
    assert logging.getLogger().handlers == []
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('"run started"') == 2
