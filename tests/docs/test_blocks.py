"""Every block of the shell and of Python on a page is run here, or says why not.

A page's blocks run in one folder, from top to bottom. The quick tests run those of the README and
of the guide to Python in this process; the slow ones all, as a shell does.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import vggbatch
from tests.support.blocks import ROOT, SHELL, blocks, pages, workplace
from vggbatch import cli
from vggbatch.cli import app, console

ALL = [block for page in pages() for block in blocks(page)]
RUN = [block for block in ALL if block.language in (*SHELL, "python") and block.reason is None]
PAGES = list(dict.fromkeys(block.page for block in RUN))
BIN = Path(sys.executable).parent


def name_of(page):
    return str(page.relative_to(ROOT))


def words(line):
    """The words of a command of vggbatch: without comment and redirection; None of another one."""
    found = shlex.split(line, comments=True)
    if found[:1] != ["vggbatch"]:
        return None
    return found[1 : found.index(">")] if ">" in found else found[1:]


COMMANDS = [
    pytest.param(found, id=f"{block.name} {' '.join(found)}")
    for block in ALL
    if block.language in SHELL
    for line in block.commands()
    if (found := words(line))
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return workplace(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A copy of the folder that the pages speak of, as the current one."""
    shutil.copytree(prepared, tmp_path / "place", symlinks=True)
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.setenv("VGGBATCH_MODEL", "net.onnx")
    return tmp_path / "place"


def test_enough_blocks_are_run():
    assert len(RUN) >= 15
    assert {"README.md", "docs/guides/python.md", "docs/nightly.md"} <= set(map(name_of, PAGES))


def test_reasons_are_given():
    assert all(len(block.reason) > 10 for block in ALL if block.reason is not None)


@pytest.mark.parametrize("found", COMMANDS)
def test_every_command_has_the_options_that_pages_give_it(found):
    # those that cannot be run, too
    command = typer.main.get_command(app)
    if found[0] == "submit":
        found = found[: found.index("--") + 2]
    context = None
    for word in list(found):
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
        found = found[1:]
        context = (
            command.make_context(word, list(found)) if not hasattr(command, "commands") else None
        )
    assert context is not None or found in (["--install-completion"], ["COMMAND", "--help"])


def in_process(found):
    """Run a command of vggbatch by its words; its exit status."""
    before = sys.argv
    sys.argv = ["vggbatch", *found]
    try:
        cli.main()
    except SystemExit as stopped:
        return stopped.code or 0
    finally:
        sys.argv = before
        console.configure()
    return 0


@pytest.mark.parametrize("page", ["README.md", "docs/guides/python.md"])
def test_blocks_of_first_pages_run(page, place, capfd):
    for block in blocks(ROOT / page):
        if block.reason is not None:
            continue
        if block.language == "python":
            exec(compile(block.text, block.name, "exec"), {"__name__": "block"})
        elif block.language in SHELL:
            # what sets up a shell has its turn in the slow test
            for found in filter(None, map(words, block.commands())):
                assert in_process(found) == 0, (block.name, found, capfd.readouterr().err)
    if page == "README.md":
        assert (place / "evaluated/report.html").exists()
        assert vggbatch.load_predictions("out").num_rows == 11


@pytest.fixture
def shell(place, monkeypatch):
    """Run a script in the folder, with this environment's programs first."""
    (place / ".venv/bin").mkdir(parents=True)
    (place / ".venv/bin/activate").write_text(f"export PATH={BIN}:$PATH\n")
    if not (place / "demo-output").exists():
        demo = place / "vggbatch/demo"
        vggbatch.evaluate(
            str(demo / "images"),
            output=str(place / "demo-output"),
            model=str(place / "net.onnx"),
            labels=str(demo / "labels.csv"),
        )
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}

    def run(script):
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=place,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_all_blocks_of_a_page_run(page, shell):
    script = []
    for block in blocks(page):
        if block.reason is not None:
            continue
        if block.language == "python":
            script.append(f"python - <<'PYTHON'\n{block.text}\nPYTHON")
        elif block.language in SHELL:
            script.append("\n".join(block.commands()))
    done = shell("\n".join(script))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def mistakes(found):
    """A command with one mistake in it, several ways."""
    yield "an option that there is not", [*found, "--no-such-option"]
    if "--set" not in found and found[0] in ("score", "evaluate", "plan"):
        yield "a setting that there is not", [*found, "--set", "compute.actorz=2"]
    for number, word in enumerate(found[1:], 1):
        if word in ("-o", "--output", "-m", "--model", "--labels", "-l"):
            yield f"no value for {word}", [*found[: number + 1]]
            break
    yield "a command that there is not", [f"{found[0]}x", *found[1:]]
    if found[0] in ("predict", "status", "report", "rescore", "compare", "merge"):
        yield "a path that there is not", [found[0], "nowhere", *found[2:]]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_one_mistake_is_one_line(page, place, capfd):
    lines = [line for block in RUN if block.page == page for line in block.commands()]
    for kind, wrong in [
        pair for found in filter(None, map(words, lines)) for pair in mistakes(found)
    ]:
        status = in_process(wrong)
        said = capfd.readouterr().err
        assert status in (1, 2), (kind, wrong)
        assert "Traceback" not in said, (kind, wrong)
        errors = [line for line in said.splitlines() if line.startswith("error:")]
        assert len(errors) == 1, (kind, wrong, said)
        assert not re.search(r"unexpected|internal", errors[0])
