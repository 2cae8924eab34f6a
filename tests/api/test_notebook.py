"""What a notebook shows: progress in the cell, and results as short tables."""

import sys
import types

import pytest

import vggbatch
from tests.support.images import write_folder
from vggbatch.api import notebook
from vggbatch.api.outputs import Page
from vggbatch.html_table import as_html
from vggbatch.output.progress import Snapshot


@pytest.fixture(scope="module")
def place(tmp_path_factory, net):
    folder = tmp_path_factory.mktemp("place")
    names = write_folder(folder / "images", 4)
    (folder / "images/bad.jpg").write_bytes(b"")
    (folder / "labels.csv").write_text("".join(f"{name},{i}\n" for i, name in enumerate(names)))
    return folder


@pytest.fixture
def evaluated(place, net):
    return vggbatch.evaluate(
        place / "images", output=place / "out", model=net, labels=place / "labels.csv"
    )


def test_results_are_tables(place, evaluated):
    shown = evaluated._repr_html_()
    assert '<td style="text-align:right">5</td>' in shown
    assert "labels: top1" in shown
    assert "vggbatch.write_report(" in shown
    page = vggbatch.write_report(place / "out")
    assert page == f"{place}/out/report.html"
    assert page._repr_html_() == f'<a href="{page}" target="_blank">report.html</a>'
    assert f'href="{place}/out/report.html"' in evaluated._repr_html_()
    compared = vggbatch.compare(place / "out", place / "out")._repr_html_()
    assert "5 images in both runs" in compared
    assert "+0.00" in compared
    vggbatch.evaluate(
        place / "images",
        output=place / "two",
        model=evaluated.record["model"]["name"],
        labels=place / "labels.csv",
    )
    board = vggbatch.leaderboard([place / "out", place / "two"])._repr_html_()
    assert board.count("<tr>") == 3


def test_names_from_outside_are_text():
    assert as_html([["<b>", None]]).count("&lt;b&gt;") == 1
    assert "<script" not in Page('x"><script>/report.html')._repr_html_()
    for elsewhere in ("s3://bucket/out/report.html", "JavaScript:alert(1)/report.html"):
        assert Page(elsewhere)._repr_html_() == "report.html"


class Shown:
    """IPython's display, as far as it is used."""

    def __init__(self):
        self.html = []

    def __call__(self, html, display_id):
        self.update(html)
        return self

    def update(self, html):
        self.html.append(html)


@pytest.fixture
def kernel(monkeypatch):
    shown = Shown()
    outer = types.ModuleType("IPython")
    outer.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    inner = types.ModuleType("IPython.display")
    inner.HTML, inner.display = str, shown
    monkeypatch.setitem(sys.modules, "IPython", outer)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return shown


def test_a_bar_is_drawn_in_the_cell_and_ends_as_a_line(kernel, place, net):
    vggbatch.score(place / "images", output=place / "bar", model=net, chunk_size=4)
    assert "<progress" in kernel.html[0]
    assert kernel.html[-1].startswith("<div>5 of 5 images")
    assert ", 1 error<" in kernel.html[-1]
    assert "<progress" not in kernel.html[-1]


def test_a_callback_of_the_caller_takes_its_place(kernel, place, net):
    heard = []
    vggbatch.score(place / "images", output=place / "own", model=net, on_progress=heard.append)
    assert heard
    assert kernel.html == []


def test_notes_are_shown_as_text(kernel):
    with notebook.in_cell(None) as bar:
        bar(Snapshot(1, 9, 0, 2.0, exact=False, note="waits for <nodes>"))
    assert "~9 images" in kernel.html[0]
    assert "4 s left" in kernel.html[0]
    assert "waits for &lt;nodes&gt;" in kernel.html[0]


def test_elsewhere_there_is_no_bar():
    with notebook.in_cell(None) as bar:
        assert bar is None
