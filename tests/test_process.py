import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import hostile
from tests.support.images import cut, jpeg
from vggbatch import process, score
from vggbatch.config import DecodeOptions, ModelOptions, Preprocess, Protocol
from vggbatch.models.preparation.prepare import prepare
from vggbatch.models.resolve import resolve
from vggbatch.preprocess.image_buffer import ImageResizer
from vggbatch.preprocess.isolated import IsolatedDecoder

ROOT = Path(process.__file__).parents[1]


@pytest.fixture
def data_set(tmp_path, monkeypatch):
    """A hostile data set that is the current folder."""
    folder = hostile.data_set(tmp_path / "images")
    monkeypatch.chdir(folder)
    return folder


def test_the_current_folder_is_no_place_for_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    here = ["", ".", "sub", str(tmp_path), f"{tmp_path}/", str(tmp_path / "link")]
    assert process.trusted([*here, "/usr/lib", str(ROOT)]) == ["/usr/lib", str(ROOT)]


def test_a_checkout_is(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert process.trusted(["", "/x", "/x"]) == [str(ROOT), "/x"]


def test_a_current_folder_that_is_gone(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert process.trusted(["/usr/lib"]) == ["/usr/lib"]


def test_the_users_own_path_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("PYTHONPATH", f":{tmp_path}:relative")
    path = process.environment()["PYTHONPATH"].split(os.pathsep)
    assert path[0] == str(tmp_path)
    assert "" not in path
    assert not any(folder.endswith("relative") for folder in path)


def test_the_process_that_decodes(data_set):
    maker = ImageResizer(DecodeOptions(), (Preprocess(resize=36, crop=32),), Protocol())
    with IsolatedDecoder(maker) as decoder:
        assert decoder(jpeg(cut(0)))[0][0].shape == (32, 32, 3)
    assert not hostile.imported(data_set)


def test_the_processes_that_prepare_and_score(data_set, net, tmp_path):
    model = resolve(ModelOptions(name=str(net)))
    prepare(model, cache_dir=str(tmp_path / "cache"))
    scored = score(data_set, model=net, output=tmp_path / "out")
    assert scored.record["counts"] | {"errors_by_kind": None} == {
        "images": 3,
        "scored": 3,
        "errors": 0,
        "errors_by_kind": None,
    }
    assert not hostile.imported(data_set)


def test_python_m(data_set):
    # what Python itself imports before it runs anything of a package is not in the package's hands
    for name in hostile.MODULES:
        if name in ("typing", "vggbatch"):
            (data_set / f"{name}.py").unlink()
            (data_set / name / "__init__.py").unlink()
            (data_set / name).rmdir()
    command = [sys.executable, "-m", "vggbatch", "models", "list"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert not hostile.imported(data_set)


@pytest.mark.parametrize("path", [":", ".:", ":/nowhere", "/nowhere:"])
def test_an_empty_entry_of_the_path_of_imports(data_set, path):
    # what stands there for this package itself, or for what Python needs first, is run in its place
    for name in ("typing", "vggbatch", "sitecustomize", "usercustomize"):
        (data_set / f"{name}.py").unlink(missing_ok=True)
        shutil.rmtree(data_set / name, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("vggbatch")), "models", "list"]
    environ = os.environ | {"PYTHONPATH": path}
    subprocess.run(command, check=True, capture_output=True, timeout=60, env=environ)
    assert not hostile.imported(data_set)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "score . -o ../out -m NET",
        "score . -o ../out -m NET --set compute.executor=ray",
        "evaluate . -l ../labels.csv -o ../out -m NET",
        "plan . -o ../out -m NET",
        "predict . -m NET",
        "pack . -o ../shards",
        "pack . -o ../shards --format parquet",
        "models prepare NET --cache-dir ../cache",
        "models list",
        "config",
        "doctor",
        "merge ../scored -o ../out",
        "forget ../scored 00000.jpg",
        "score . -o ../scored -m NET --append",
        "bench . -o ../bench -m NET -n 8 --rounds 1 --only loop --only ray --only vggbatch",
        "status ../scored",
        "rescore ../scored -l ../labels.csv",
        "compare ../scored ../scored",
        "report ../scored",
    ],
)
def test_every_command(tmp_path, net, words):
    folder = hostile.data_set(tmp_path / "images")
    lines = [f"{path.name},{i}" for i, path in enumerate(sorted(folder.glob("*.jpg")))]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    if "scored" in words:
        score(folder, model=net, output=tmp_path / "scored")
    done = hostile.run(folder, *words.replace("NET", str(net)).split())
    assert not hostile.imported(folder)
    assert done.returncode == 0, done.stderr
