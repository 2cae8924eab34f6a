"""The page about a run, from real runs with labels and damaged images."""

import html
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vggbatch
from tests.support.here import Here
from vggbatch import api
from vggbatch.cli import app
from vggbatch.cli.commands.report import report
from vggbatch.errors import UsageError
from vggbatch.output.ownership.fence import Fence, LeaseLost
from vggbatch.report import write_report
from vggbatch.storage.filesystem import Folder


def section(page, name):
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)
    return found.group(1) if found else None


def ids(text):
    """The images that cards and lists name, in their order."""
    return [html.unescape(found) for found in re.findall(r'class="id">(.*?)<', text)]


def pictures(text):
    return len(re.findall(r'class="pic p\d+"', text))


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
    assert re.search(rf"95 % interval [\d.]+ to [\d.]+, of {len(labeled)} images", page)


def test_mistakes_are_the_wrong_ones_and_the_surest_come_first(run, page):
    rows = api.load_predictions(str(run)).to_pylist()
    wrong = [
        row
        for row in rows
        if row["label"] is not None and row["top5_index"] and row["top5_index"][0] != row["label"]
    ]
    wrong.sort(key=lambda row: -row["top5_probability"][0])
    assert ids(section(page, "mistakes")) == [row["image_id"] for row in wrong[:8]]


def test_the_least_sure_come_first(run, page):
    rows = [row for row in api.load_predictions(str(run)).to_pylist() if row["top5_index"]]
    rows.sort(key=lambda row: row["top5_probability"][0])
    assert ids(section(page, "unsure")) == [row["image_id"] for row in rows[:8]]


def test_every_picture_of_a_gallery_is_there(page):
    assert pictures(section(page, "mistakes")) == 8
    assert pictures(section(page, "unsure")) == 8
    assert "no picture" not in page


def test_errors_are_shown_by_kind_and_what_is_left_of_the_picture(page):
    errors = section(page, "errors")
    found = re.findall(r"<h3>(.*?) <small>(.*?)</small>", errors)
    assert sorted(found) == [("Not image", "1 image, 1.64 %"), ("Truncated", "1 image, 1.64 %")]
    assert "2 of 61 images could not be scored" in errors
    assert "plain text, not an image" in errors
    assert pictures(errors) == 1


def test_errors_come_before_everything(page, unlabeled_run):
    sections = re.findall(r'<section (?:id="(\w+)")?', page)
    assert sections[0] == "errors"
    assert re.search(r"<nav.*?<li><a href=\"#(\w+)", page, re.DOTALL)[1] == "errors"


def test_an_image_is_in_the_page_once_however_often_it_is_shown(page):
    numbers = re.findall(r"\.p(\d+)\{background-image:url\(data:image/webp", page)
    assert len(numbers) == len(set(numbers)) == page.count("data:image/webp")
    shown = re.findall(r'class="pic p(\d+)"', page)
    assert set(shown) == set(numbers)
    assert len(shown) > len(numbers)


def test_classes_pairs_and_bins_lead_to_their_images(run, page):
    rows = [row for row in api.load_predictions(str(run)).to_pylist() if row["top5_index"]]
    images = section(page, "images")
    links = re.findall(r'href="#((?:class|pair|bin)[\d-]+)"', page)
    assert {re.match(r"[a-z]+", link)[0] for link in links} == {"class", "pair", "bin"}
    for link in set(links):
        [group] = re.findall(rf'id="{link}" tabindex="-1">(.*?)</ul>', images, re.DOTALL)
        kind, numbers = re.match(r"([a-z]+)([\d-]+)", link).groups()
        numbers = [int(number) for number in numbers.split("-")]
        belongs = {
            "class": lambda row, n=numbers: row["label"] == n[0],
            "pair": lambda row, n=numbers: [row["label"], row["top5_index"][0]] == n,
            "bin": lambda row, n=numbers: n[0] / 15 < row["top5_probability"][0] <= (n[0] + 1) / 15,
        }[kind]
        expected = {row["image_id"] for row in rows if row["label"] is not None and belongs(row)}
        assert set(ids(group)) <= expected
        assert len(ids(group)) == min(4, len(expected))


def test_names_of_images_are_text_and_nothing_comes_from_a_network(page):
    assert "bad <b>.jpg" not in page
    assert html.escape("bad <b>.jpg") in page
    assert "default-src 'none'" in html.unescape(page)
    assert not re.findall(r"(?:src|href)=[\"']?https?:", page)


def test_every_class_with_several_images_has_its_row(run, page):
    counts = Counter(row["label"] for row in api.load_predictions(str(run)).to_pylist())
    del counts[None]
    several = [label for label, count in counts.items() if count > 1]
    assert section(page, "classes").count('<tr><th scope="row"') == len(several)
    single = len(counts) - len(several)
    assert f"{single} classes have one image each" in section(page, "classes")


def test_classes_of_one_image_have_no_table(images, net, tmp_path):
    lines = [f"{number:05d}.jpg,{number}" for number in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    inputs = [images / f"{number:05d}.jpg" for number in range(6)]
    options = {"model": net, "labels": tmp_path / "labels.csv", "executor": Here()}
    vggbatch.evaluate(inputs, output=tmp_path / "out", **options)
    page = Path(vggbatch.write_report(tmp_path / "out")).read_text()
    assert section(page, "mistakes") is not None
    for name in ("classes", "confusions", "heat"):
        assert section(page, name) is None
        assert f'href="#{name}"' not in page


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
    # the truncated image has a label: what it does to the accuracy stands first
    sides = section(page, "errors")
    assert "With failed images, as wrong" in sides
    assert re.findall(r"<small>(\d+) images</small>", sides) == ["60", "59", "60", "59"]


def test_the_command_prints_where_the_page_is(run, capsys):
    report(str(run))
    assert capsys.readouterr().out.strip() == f"{run}/report.html"


def test_an_output_without_a_run_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="not the output of a finished run"):
        report(str(tmp_path))


def test_a_page_that_came_while_another_run_took_the_output_is_no_success(
    run, tmp_path, monkeypatch
):
    """As a request to a store that stood still for as long as that takes."""
    out = tmp_path / "out"
    shutil.copytree(run, out)
    write = Fence.write_bytes

    def late(fence, name, data):
        write(fence, name, data)
        shutil.rmtree(out / fence.claim)

    monkeypatch.setattr(Fence, "write_bytes", late)
    with pytest.raises(LeaseLost):
        write_report(Folder(str(out)))
