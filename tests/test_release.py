"""What would be published: built, checked for completeness, and run where nothing else is."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.images import write_folder
from tests.support.nets import color_net

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*words, cwd):
    # of the tests' own environment nothing must reach the new one
    environ = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RAY_", "VIRTUAL"))
    }
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive, made from what git knows and nothing else."""
    folder = tmp_path_factory.mktemp("release")
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if not names:
        pytest.skip("needs a git checkout")
    for name in names:
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source", cwd=folder)
    return folder, names


def test_the_archives_hold_all_files(built):
    folder, names = built
    [wheel] = (folder / "dist").glob("*.whl")
    [source] = (folder / "dist").glob("*.tar.gz")
    package = {name for name in names if name.startswith("vggbatch/")}
    assert {"vggbatch/py.typed", "vggbatch/models/vgg_zoo.yaml"} < package
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert package <= packed
    assert {name.split("/")[0].split("-")[0] for name in packed} == {"vggbatch"}
    with tarfile.open(source) as archive:
        packed = {name.split("/", 1)[-1] for name in archive.getnames()}
    left_out = {name for name in names if name not in packed}
    assert {name.split("/")[0] for name in left_out} <= {".ci", ".dockerignore", ".github"}
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source, cwd=folder)


def test_the_wheel_runs_in_an_empty_environment(built, tmp_path):
    folder, _ = built
    [wheel] = (folder / "dist").glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[report]", cwd=tmp_path)
    write_folder(tmp_path / "images", 3)
    (tmp_path / "images/bad1.jpg").write_bytes(b"")
    (tmp_path / "images/bad2.jpg").write_bytes(b"")
    color_net(tmp_path / "net.onnx")
    command = tmp_path / "venv/bin/vggbatch"
    where = run(python, "-c", "import vggbatch; print(vggbatch.__file__)", cwd=tmp_path)
    assert where.startswith(str(tmp_path / "venv"))
    shown = run(command, "score", "images", "-m", "net.onnx", "-o", "out", "--json", cwd=tmp_path)
    assert json.loads(shown)["counts"]["images"] == 5
    code = "import vggbatch; print(vggbatch.load_predictions('out')['error'].null_count)"
    assert run(python, "-c", code, cwd=tmp_path) == "3\n"
    assert run(command, "report", "out", cwd=tmp_path).endswith("report.html\n")
    listed = json.loads(run(command, "models", "list", "--json", cwd=tmp_path))
    assert len(listed["models"]) == 12
    demo = "from importlib.resources import files; d = files('vggbatch') / 'demo' / 'images'"
    assert int(run(python, "-c", f"{demo}; print(len(list(d.iterdir())))", cwd=tmp_path)) > 5
