"""The image, as far as it can be checked without Docker: text, layers, and its commands."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from vggbatch.models.cache import cache_folder

FILE = Path("deploy/Dockerfile")
LINES = re.sub(r"\\\n", "", FILE.read_text()).splitlines()
STEPS = [line.split(" ", 1) for line in LINES if line and not line.startswith("#")]
COPIED = [name for keyword, rest in STEPS if keyword == "COPY" for name in rest.split()[:-1]]


def at(keyword, part):
    """The number of the one step that has this in it."""
    [number] = [n for n, (word, rest) in enumerate(STEPS) if word == keyword and part in rest]
    return number


def test_the_linter_has_nothing_to_say():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, FILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_reaches_the_build():
    ignored = Path("deploy/Dockerfile.dockerignore").read_text().splitlines()
    assert all(Path(name).exists() for name in COPIED)
    assert ignored[1] == "*"
    assert sorted(f"!{name}" for name in COPIED) == sorted(
        line for line in ignored if line.startswith("!")
    )


def test_a_change_of_code_changes_the_last_layers_only():
    assert at("COPY", "pyproject.toml") < at("RUN", "requirements.txt") < at("COPY", "vggbatch ")
    assert at("COPY", "vggbatch ") < at("RUN", "--no-deps .")
    assert [word for word, _ in STEPS[at("COPY", "vggbatch ") + 1 :]].count("RUN") == 1


def test_the_user_is_not_root_and_owns_the_cache(monkeypatch):
    assert re.fullmatch(r"[1-9]\d*", STEPS[at("USER", "")][1])
    assert at("USER", "") > max(n for n, (word, _) in enumerate(STEPS) if word == "RUN")
    [volume] = [rest for word, rest in STEPS if word == "VOLUME"]
    assert f"install -d -o ray -g ray {volume}" in STEPS[at("RUN", "useradd")][1]
    name, value = STEPS[at("ENV", "CACHE")][1].split()[0].split("=")
    monkeypatch.setenv(name, value)
    assert cache_folder(None) == Path(volume, "models")


def test_the_requirements_are_the_projects_own(tmp_path):
    found = requirements(tmp_path)
    named = {(one.name, *sorted(one.extras)) for one in map(Requirement, found)}
    assert {("ray", "data"), ("ray", "default"), ("s3fs",), ("onnxruntime",)} <= named


def requirements(folder):
    """What the build's own command writes, run here."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(name, folder)
    [extras] = [rest.split("=")[1].strip('"') for word, rest in STEPS if word == "ARG"]
    command = STEPS[at("RUN", "requirements.txt")][1].split(" && ")[0]
    command = command.replace("python ", f"{sys.executable} ", 1)
    subprocess.run(
        command, shell=True, cwd=folder, check=True, env={**os.environ, "EXTRAS": extras}
    )
    return (folder / "requirements.txt").read_text().split("\n")[:-1]


@pytest.mark.slow
def test_the_last_layer_is_small_compiled_and_runs(tmp_path):
    build = tmp_path / "build"
    build.mkdir()
    for name in COPIED:
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy
        copy(name, build / name)
    # what the layer before it installs is taken from this environment
    venv.create(tmp_path / "venv", system_site_packages=False, with_pip=True)
    python = tmp_path / "venv/bin/python"
    [site] = (tmp_path / "venv/lib").glob("python*/site-packages")
    before = size(site)
    command = STEPS[at("RUN", "--no-deps .")][1].replace("pip ", f"{python} -m pip ", 1)
    subprocess.run(command, shell=True, cwd=build, check=True)
    assert size(site) - before < 8e6
    assert list((site / "vggbatch/cli/__pycache__").glob("score.*.pyc"))
    [here] = [path for path in sys.path if path.endswith("site-packages")]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    (site / "here.pth").write_text(here)
    for words in (["vggbatch", "models", "list"], ["vggbatch", "submit", "--help"]):
        done = subprocess.run(
            [python.with_name(words[0]), *words[1:]],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environ,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_manifests_and_the_launcher_name_an_image_of_this_version():
    from vggbatch import __version__

    for path in [*Path("deploy").rglob("*.yaml")]:
        for part in yaml.safe_load_all(path.read_text()):
            for image in re.findall(r"'(?:image)': '([^']+)'", str(part)):
                assert image.rsplit(":", 1)[1] == __version__, path
