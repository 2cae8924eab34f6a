"""An image that was built: give the command that runs something in it, and this looks inside.

    docker build -f deploy/Dockerfile -t vggbatch . && \
    IMAGE_RUN="docker run --rm -i vggbatch" python -m pytest tests/deploy/test_image.py

(`podman run ...` likewise, or `buildah run --isolation chroot CONTAINER --`.)
"""

import json
import os
import shlex
import subprocess

import pytest

RUN = os.environ.get("IMAGE_RUN")
pytestmark = pytest.mark.skipif(RUN is None, reason="IMAGE_RUN names no image")

LOOK = """
import json, os, sysconfig, tempfile
from pathlib import Path
library = Path(sysconfig.get_path("stdlib"))
cache = os.environ["VGGBATCH_CACHE_DIR"]
Path(cache).mkdir(mode=0o700, exist_ok=True)
with tempfile.NamedTemporaryFile(dir=cache):
    pass
print(json.dumps({
    "user": os.getuid(),
    "uncompiled": [
        str(path)
        for path in library.rglob("*.py")
        if not list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc"))
    ],
    "may write": [
        folder for folder in (str(library), "/opt/vggbatch") if os.access(folder, os.W_OK)
    ],
}))
"""


def inside(*words, stdin=""):
    done = subprocess.run(
        [*shlex.split(RUN), *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_user_has_a_cache_and_compiled_code_and_changes_nothing_else():
    found = json.loads(inside("python", "-", stdin=LOOK))
    assert found == {"user": 1000, "uncompiled": [], "may write": []}


@pytest.mark.parametrize("job", ["score", "evaluate", "quantize", "benchmark"])
def test_the_entry_points_start(job):
    assert "Usage:" in inside("python", f"/opt/vggbatch/jobs/{job}.py", "--help")


def test_what_kuberay_calls_is_there():
    assert "GNU Wget" in inside("wget", "--version")
    assert "--block" in inside("ray", "start", "--help")
    assert "--wait" in inside("vggbatch", "submit", "--help")


def test_the_demo_runs():
    assert "11" in inside("vggbatch", "demo", "-o", "/tmp/demo")
