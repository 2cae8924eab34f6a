"""The pages: links lead somewhere, the site has all of them, the reference has all of the code."""

import re

import pytest
import typer.main

import vggbatch
from benchmarks.chart import CHART, PAGE, chart
from scripts.reference import commands, configuration, python
from tests.support.blocks import ROOT, blocks, pages
from vggbatch.cli import app
from vggbatch.config.describe import settings

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
GENERATED = {"reference/commands.md", "reference/configuration.md", "reference/python.md"}


def anchors(page):
    """What GitHub and the site make of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_what_code_and_configurations_name_exists():
    named = set()
    for folder in ("vggbatch", "configs", "deploy", "examples", "tests", "scripts", "benchmarks"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix in (".py", ".yaml", ".sh"):
                named |= set(re.findall(r"\bdocs/[\w/-]+\.(?:md|svg|png)\b", path.read_text()))
    assert "docs/output.md" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_page_is_on_the_site():
    hooks = (ROOT / "scripts/docs_hooks.py").read_text()
    elsewhere = set(re.findall(r'": "([\w/]+\.md)"', hooks))
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/-]+\.md", nav))
    here = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert listed == here | GENERATED | elsewhere


def test_no_block_is_written_by_indentation_alone():
    for page in pages():
        text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert re.search(r"\n\n {4}(?! *(?:\d+\.|\*|-) )\S", text) is None, page


def test_the_reference_has_every_command_setting_and_function():
    page = commands()
    root = typer.main.get_command(app)
    for name, command in root.commands.items():
        for inner, one in getattr(command, "commands", {"": command}).items():
            assert f"## vggbatch {name} {inner}".strip() + "\n" in page
            for param in one.params:
                if param.param_type_name == "option" and not param.hidden:
                    assert param.opts[0] in page
    page = configuration()
    for one in settings():
        assert f"| `{one.key}` |" in page
        assert f"| `{one.default}` |" in page
    page = python()
    for name in vggbatch.__all__:
        assert name == "__version__" or re.search(rf"^::: \S+\.{name}$", page, re.MULTILINE)


def test_the_chart_is_that_of_the_table():
    assert CHART.read_text() == chart(), "python -m benchmarks.chart"


def test_the_readme_has_the_rows_of_the_page_on_speed():
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if "images/s |" in line]
    table = (ROOT / "README.md").read_text().partition(rows[0])[2].partition("\n\n")[0]
    page = PAGE.read_text()
    assert len(table.splitlines()) > 5
    assert [row for row in [rows[0], *table.splitlines()[1:]] if row not in page] == []


def test_the_readme_is_two_pages_and_begins_with_what_works():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    first = "\n".join(lines[:15])
    assert "make demo" in first
    assert "make test" in first


def test_every_block_has_a_language():
    assert [block.name for page in pages() for block in blocks(page) if not block.language] == []
