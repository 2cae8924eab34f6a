"""The page about a run, from real runs with labels and damaged images."""

import html
import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from vggbatch import api
from vggbatch.cli import app
from vggbatch.cli.commands.report import report
from vggbatch.errors import UsageError
from vggbatch.report import write_report
from vggbatch.storage.filesystem import Folder


def section(page, name):
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)
    return found.group(1) if found else None


@pytest.fixture(scope="module")
def page(run):
    write_report(Folder(str(run)), gallery=8)
    return (run / "report.html").read_text()


def test_the_headline_is_the_accuracy_with_its_interval(run, page):
    rows = api.load_predictions(str(run)).to_pylist()
    labeled = [row for row in rows if row["label"] is not None]
    right = [row for row in labeled if row["top5_index"] and row["top5_index"][0] == row["label"]]
    assert 0 < len(right) < len(labeled)
    assert f'<p class="big">{100 * len(right) / len(labeled):.2f}<small>%' in page
    assert "95 % interval" in page


def test_mistakes_are_the_wrong_ones_and_the_surest_come_first(run, page):
    rows = api.load_predictions(str(run)).to_pylist()
    wrong = [
        row
        for row in rows
        if row["label"] is not None and row["top5_index"] and row["top5_index"][0] != row["label"]
    ]
    wrong.sort(key=lambda row: -row["top5_probability"][0])
    shown = re.findall(r'class="id" title="(.*?)"', section(page, "mistakes"))
    assert shown == [row["image_id"] for row in wrong[:8]]


def test_the_least_sure_come_first(run, page):
    rows = [row for row in api.load_predictions(str(run)).to_pylist() if row["top5_index"]]
    rows.sort(key=lambda row: row["top5_probability"][0])
    shown = re.findall(r'class="id" title="(.*?)"', section(page, "unsure"))
    assert shown == [row["image_id"] for row in rows[:8]]


def test_every_picture_of_a_gallery_is_there(page):
    assert section(page, "mistakes").count("data:image/webp") == 8
    assert section(page, "unsure").count("data:image/webp") == 8
    assert "no picture" not in page


def test_errors_are_shown_by_kind_and_what_is_left_of_the_picture(page):
    errors = section(page, "errors")
    assert sorted(re.findall(r"<h3>(.*?) <small>", errors)) == ["Not image", "Truncated"]
    assert "plain text, not an image" in errors
    assert errors.count("data:image/webp") == 1


def test_names_of_images_are_text_and_nothing_comes_from_a_network(page):
    assert "bad <b>.jpg" not in page
    assert html.escape("bad <b>.jpg") in page
    assert "default-src 'none'" in html.unescape(page)
    assert not re.findall(r"(?:src|href)=[\"']?https?:", page)


def test_every_class_with_images_has_its_row(run, page):
    labels = {row["label"] for row in api.load_predictions(str(run)).to_pylist()} - {None}
    assert section(page, "classes").count('<tr><th scope="row"') == len(labels)


def test_a_run_without_labels_shows_what_was_predicted(unlabeled_run):
    write_report(Folder(str(unlabeled_run)))
    page = (unlabeled_run / "report.html").read_text()
    best = {
        row["top5_index"][0]
        for row in api.load_predictions(str(unlabeled_run)).to_pylist()
        if row["top5_index"]
    }
    assert section(page, "classes").count('<tr><th scope="row"') == len(best)
    assert section(page, "mistakes") is None
    assert section(page, "metrics") is None


def test_an_input_that_moved_leaves_a_page_without_pictures(run, images):
    images.rename(images.with_name("moved"))
    try:
        write_report(Folder(str(run)))
        page = (run / "report.html").read_text()
    finally:
        images.with_name("moved").rename(images)
        write_report(Folder(str(run)))
    assert "No thumbnails: the images are not where they were" in page
    assert "data:image" not in page


def test_synthetic_weights_and_failure_are_announced(run, tmp_path):
    output = shutil.copytree(run, tmp_path / "out")
    record = json.loads((output / "run.json").read_text())
    record["model"]["synthetic"] = True
    record["config"]["max_error_rate"] = 0.01
    (output / "run.json").write_text(json.dumps(record))
    (output / "_SUCCESS").unlink()
    write_report(Folder(str(output)))
    page = (output / "report.html").read_text()
    assert "Synthetic weights: these predictions mean nothing" in page
    assert "more than its limit of 1.00 %" in page


def test_the_page_about_rescored_predictions(run, images, tmp_path):
    labels = str(images.parent / "labels.csv")
    target = str(tmp_path / "rescored")
    command = ["rescore", str(run), "-l", f"true={labels}", "-l", "embedded@imagenet-a"]
    result = CliRunner().invoke(app, [*command, "-o", target])
    assert result.exit_code == 0, result.output
    write_report(Folder(target))
    page = (tmp_path / "rescored/report.html").read_text()
    assert "label set <b>true</b>" in page
    assert "imagenet-a" in section(page, "metrics")
    assert page.count("data:image/webp") > 8


def test_the_command_prints_where_the_page_is(run, capsys):
    report(str(run))
    assert capsys.readouterr().out.strip() == f"{run}/report.html"


def test_an_output_without_a_run_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="not the output of a finished run"):
        report(str(tmp_path))
