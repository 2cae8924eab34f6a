"""The project on a current distribution, whose python3 is newer than CI's: Debian testing."""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE, SCRIPT = "forky", Path("/usr/share/debootstrap/scripts/sid")
"""An older debootstrap does not know the suite, which is made as sid is."""
PACKAGES = "make,git,python3,python3-venv,ca-certificates"
SHARE = (
    "tests/config tests/preprocess/test_decode.py tests/sources/test_discover.py "
    "tests/models/test_resolve.py tests/output/test_writer.py tests/output/test_reader.py "
    "tests/end_to_end/test_formats_of_outputs.py"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(shutil.which("debootstrap") is None, reason="needs debootstrap"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a root folder of its own"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root") / SUITE
    words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, folder]
    subprocess.run([*words, "http://deb.debian.org/debian", SCRIPT], check=True)
    for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        shutil.copy(f"/{name}", folder / name)
    project = folder / "root/vggbatch"
    project.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", project], input=archive.stdout, check=True)
    (folder / "dev/shm").mkdir(exist_ok=True)
    with ExitStack() as mounts:
        for words in (
            ["-t", "proc", "proc", folder / "proc"],
            ["--bind", "/sys", folder / "sys"],
            ["-t", "tmpfs", "tmpfs", folder / "dev/shm"],
        ):
            subprocess.run(["mount", *words], check=True)
            mounts.callback(subprocess.run, ["umount", words[-1]], check=True)
        yield folder


def run(root, command):
    """Run a command in the project's folder, with nothing of this environment but the network's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") or name == "PIP_INDEX_URL"
    }
    kept |= {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    words = ["chroot", root, "sh", "-c", f"cd /root/vggbatch && {command}"]
    done = subprocess.run(words, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_demo_runs_on_the_python_that_is_there(root):
    assert run(root, "python3 --version").startswith("Python 3.1")
    assert "demo-output/predictions" in run(root, "make demo")


def test_a_share_of_the_tests_passes(root):
    run(root, "make .venv/installed-dev && .venv/bin/python -m pytest -q -m 'not slow' " + SHARE)
