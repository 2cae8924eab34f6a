"""The version stands in one place, and what cannot read it there says the same."""

import re
from pathlib import Path

import yaml

from vggbatch import __version__

ROOT = Path(__file__).parents[1]


def test_the_changelog_is_headed_by_it():
    heads = re.findall(r"^## \[(.+?)\](?: - (.+))?$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heads[0] == ("Unreleased", "")
    version, date = heads[1]
    assert version == __version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)


def test_the_citation_is_of_it():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    heads = re.findall(r"^## \[(.+?)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert (cited["version"], str(cited["date-released"])) == heads[0]


def test_every_image_of_the_manifests_is_of_it():
    named = set()
    for folder in ("deploy", "examples"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix in (".yaml", ".md"):
                named |= set(re.findall(r"vggbatch:(\d+\.\d+\.\d+)", path.read_text()))
    assert named == {__version__}


def test_the_workflow_of_a_release_builds_checks_and_publishes():
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    steps = [step.get("run", step.get("uses", "")) for step in workflow["jobs"]["build"]["steps"]]
    wanted = [".ci/run", "__version__", "-m build", "twine check --strict", "upload-artifact"]
    found = [next(i for i, step in enumerate(steps) if word in step) for word in wanted]
    assert found == sorted(found)
    publish = workflow["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
