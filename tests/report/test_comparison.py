import re

import pytest

from vggbatch import api
from vggbatch.cli.commands.report import report
from vggbatch.report import write_comparison
from vggbatch.report.output import open_output
from vggbatch.storage.filesystem import Folder


@pytest.fixture(scope="module")
def page(run, other_run):
    write_comparison(Folder(str(run)), Folder(str(other_run)), gallery=100)
    return (other_run / "comparison.html").read_text()


def test_accuracies_and_what_only_one_run_gets_right(run, other_run, page):
    a, b = (
        {
            row["image_id"]: row["label"] is not None and row["top5_index"][0] == row["label"]
            for row in api.load_predictions(str(output)).to_pylist()
            if row["top5_index"]
        }
        for output in (run, other_run)
    )
    only_a = {name for name in a if a[name] and not b[name]}
    assert len(only_a) > 5
    assert f"{len(only_a)} right in A only" in page
    shown = re.search(r"<h2>Right in A, wrong in B</h2>(.*?)</section>", page, re.DOTALL)[1]
    assert set(re.findall(r'class="id">(.*?)<', shown)) == only_a
    assert len(re.findall(r'class="pic p\d+"', shown)) == len(only_a)
    assert f"{len(only_a)} images: those first" in shown


def test_wrong_in_both_and_differently(run, other_run, page):
    a, b = (
        {row["image_id"]: row for row in api.load_predictions(str(output)).to_pylist()}
        for output in (run, other_run)
    )
    wrong = [
        name
        for name, row in a.items()
        if row["label"] is not None
        and row["label"] not in (row["top5_index"][0], b[name]["top5_index"][0])
    ]
    differently = {n for n in wrong if a[n]["top5_index"][0] != b[n]["top5_index"][0]}
    assert len(differently) > 5
    assert f"{len(wrong)} <small>differently {len(differently)}</small>" in page
    shown = re.search(r"<h2>Wrong in both, differently</h2>(.*?)</section>", page, re.DOTALL)[1]
    assert set(re.findall(r'class="id">(.*?)<', shown)) == differently


def test_the_change_of_calibration_and_likelihood(run, other_run, page):
    first, second = (
        {line.metric: line.value for line in open_output(Folder(str(output))).metrics()}
        for output in (run, other_run)
    )
    changes = re.search(r'<section id="changes">(.*?)</section>', page, re.DOTALL)[1]
    for name in ("ece", "nll", "brier"):
        assert f"<td>{first[name]:.4f}</td><td>{second[name]:.4f}</td>" in changes


def test_what_differs_in_the_settings_is_listed(page):
    settings = re.search(r'<section id="settings">(.*?)</section>', page, re.DOTALL)[1]
    assert "model.sha256" in settings
    assert "preprocess" not in settings


def test_a_run_against_itself_differs_in_nothing(run, capsys):
    report(str(run), against=str(run), gallery=4)
    page = (run / "comparison.html").read_text()
    assert capsys.readouterr().out.strip() == f"{run}/comparison.html"
    assert "100.00 %" in page
    assert "None: the same model" in page
    assert "Right in A" not in page


def test_runs_without_labels_show_where_they_part(unlabeled_run, other_run, page):
    write_comparison(Folder(str(other_run)), Folder(str(unlabeled_run)), gallery=4)
    assert "Same first class" in (unlabeled_run / "comparison.html").read_text()
