"""Commands whose standard streams are closed, full, or have no reader; other encodings."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.images import write_folder

COMMAND = f"{sys.executable} -m vggbatch"


def shell(line, **options):
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, **options)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_failure(closed):
    done = shell(f"{COMMAND} models list {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves_is_no_failure():
    done = shell(f"{COMMAND} models list --json | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_the_output_is_one_line():
    done = shell(f"{COMMAND} models list > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to <stdout>: No space left on device\n"


@pytest.mark.slow
def test_a_run_with_everything_closed_is_done(net, tmp_path):
    write_folder(tmp_path / "images", 2)
    done = shell(f"{COMMAND} score images -o out -m {net} <&- >&- 2>&-", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "out/_SUCCESS").exists()


def test_names_are_utf8_whatever_the_locale(net, tmp_path):
    write_folder(tmp_path / "images", 1)
    os.rename(tmp_path / "images/00000.jpg", tmp_path / "images/caf\u00e9 \u6f22.jpg")
    odd = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
    done = subprocess.run(
        [sys.executable, "-m", "vggbatch", "predict", "images", "-m", str(net), "--json"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, **odd},
    )
    (row,) = json.loads(done.stdout.decode())["images"]
    assert (row["image_id"], row["error"]) == ("caf\u00e9 \u6f22.jpg", None)


def test_a_current_folder_that_is_gone_is_one_line(tmp_path):
    (tmp_path / "gone").mkdir()
    done = shell(f"cd gone && rmdir ../gone && {COMMAND} plan x -o out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the current folder is not there any")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="no folder that nobody can write to")
def test_a_home_that_cannot_be_written_is_no_matter():
    """onnxruntime would keep an identifier there, and warn."""
    done = shell(f"{COMMAND} models list", env={**os.environ, "HOME": "/proc"})
    assert (done.returncode, done.stderr) == (0, "")
