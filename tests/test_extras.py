"""Messages name extras that there are."""

import re
import tomllib
from pathlib import Path

import pytest

from vggbatch import extras
from vggbatch.storage import filesystem

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"vggbatch\[(\w+)\]")


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"]


def test_every_extra_of_the_table_is_declared():
    assert set(extras.EXTRAS.values()) <= declared().keys()


def test_every_extra_that_code_and_docs_name_is_declared():
    pages = [*(ROOT / "vggbatch").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    found = {name for page in pages for name in NAMED.findall(page.read_text())}
    assert found <= declared().keys()


@pytest.mark.parametrize(("protocol", "advice"), [("hf", "vggbatch[hub]"), ("dropbox", None)])
def test_a_store_whose_package_lacks(protocol, advice, monkeypatch):
    def lacking(name):
        raise ImportError("no module")

    monkeypatch.setattr(filesystem, "_class_of", lacking)
    monkeypatch.setenv("VGGBATCH_ALLOW_PROTOCOLS", "dropbox")
    with pytest.raises(
        filesystem.NoClient, match="needs a package that is not installed"
    ) as caught:
        filesystem.filesystem(f"{protocol}://a/b")
    found = NAMED.findall(str(caught.value))
    assert found == ([advice[9:-1]] if advice else [])
