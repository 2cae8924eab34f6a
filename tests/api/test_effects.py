"""What the functions of the API change in the caller's process: nothing that stays."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.images import write_folder

PROGRAM = """
import json, logging, os, signal, sys, warnings
import onnx, onnxruntime, ray.data  # what these do to the process when imported is theirs
from PIL import Image, ImageFile
import vggbatch

def state():
    loggers = ["", "vggbatch", "ray.data", "ray._private.worker", "PIL"]
    return {
        "environment": dict(os.environ),
        "pixels": Image.MAX_IMAGE_PIXELS,
        "truncated": ImageFile.LOAD_TRUNCATED_IMAGES,
        "warnings": [str(found) for found in warnings.filters],
        "signals": {int(one): str(signal.getsignal(one)) for one in signal.valid_signals()},
        "loggers": {
            name: (one.level, len(one.handlers), one.propagate, one.disabled)
            for name in loggers for one in [logging.getLogger(name)]
        },
        "path": sys.path[:],
        "folder": os.getcwd(),
        "streams": (id(sys.stdout), id(sys.stderr)),
        "hooks": len(sys.meta_path),
    }

images, net, executor = sys.argv[1:]
before = state()
vggbatch.score(images, output="out", model=net, compute={"executor": executor, "num_cpus": 2})
after_score = state()
vggbatch.score(images, output="again", model=net, compute={"executor": executor, "num_cpus": 2})
vggbatch.write_report("out", images=[images])
vggbatch.plan(images, output="third", model=net, measure=False)
vggbatch.predict(f"{images}/00001.jpg", model=net)
after = state()
for now in (after_score, after):
    for key, value in before.items():
        if now[key] != value:
            changed = (value, now[key])
            if key in ("warnings", "environment"):
                changed = set(value) ^ set(now[key]) or "other values or order"
            print(key, changed)
"""


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_the_process_is_as_before(net, tmp_path, executor):
    write_folder(tmp_path / "images", 6)
    (tmp_path / "images/cut.jpg").write_bytes((tmp_path / "images/00001.jpg").read_bytes()[:-60])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "images", net, executor],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        # what the Ray of other tests has set is not there before
        env={k: v for k, v in os.environ.items() if k != "PYTHONBREAKPOINT"}
        | {"PYTHONPATH": os.getcwd()},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/run.json").read_text())["executor"] == executor
    assert done.stdout == ""
