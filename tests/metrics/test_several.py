"""Several outputs read as one: the same numbers as of their merge, or one line."""

import json
import os
import re
import shutil

import pytest

from tests.support.here import Here
from tests.support.images import write_folder
from tests.support.nets import color_net
from tests.support.stores import s3
from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.storage.filesystem import Folder

DAYS, EACH = 3, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


def scored(folder, net, name, start, count=EACH, **more):
    images = folder / f"images-{name.replace('/', '-')}"
    if not images.exists():
        write_folder(images, count, start=start)
    out = folder / name
    options = {"model": str(net), "labels": str(folder / "labels.csv"), "chunk_size": 4}
    options |= {"compute": {"pin": False}, "executor": Here(), **more}
    api.evaluate(str(images), output=str(out), **options)
    return str(out)


@pytest.fixture(scope="module")
def days(folder, net):
    lines = [f"{number:05d}.jpg,{number % 7}" for number in range(100)]
    (folder / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    return [scored(folder, net, f"days/day-{n}", n * EACH) for n in range(DAYS)]


@pytest.fixture(scope="module")
def merged(days, folder):
    api.merge(days, str(folder / "merged"))
    return str(folder / "merged")


def test_metrics_are_those_of_the_merge(days, merged, folder):
    labels = str(folder / "labels.csv")
    whole = api.rescore(merged, labels)
    for named in (days, f"{folder}/days/*", [f"{folder}/days/day-[0-9]"]):
        assert api.rescore(named, labels).to_json() == whole.to_json()
    assert whole.metrics[0].n == DAYS * EACH


@pytest.mark.slow
def test_what_is_written_names_them_and_has_a_page(days, folder, net, tmp_path):
    days = [scored(folder, net, f"again/day-{n}", n * EACH) for n in range(DAYS)]
    out = tmp_path / "rescored"
    api.rescore(days, "embedded", str(out))
    record = json.loads((out / "run.json").read_text())
    assert record["rescored"]["predictions"] == days
    assert record["counts"]["images"] == DAYS * EACH
    api.write_report(str(out))
    assert f"{DAYS * EACH} images" in (out / "report.html").read_text()
    scored(folder, net, "again/day-1", EACH, chunk_size=2, overwrite=True)
    with pytest.raises(UsageError, match="day-1 was scored again since"):
        api.write_report(str(out), images=[str(folder)])


def test_a_page_over_all_of_them(days, merged, folder, tmp_path):
    page = tmp_path / "days.html"
    assert api.write_report(f"{folder}/days/*", page=str(page)) == str(page)
    text = page.read_text()
    api.write_report(merged)
    alone = (folder / "merged" / "report.html").read_text()
    figures = re.compile(r'class="big">.*?</p>', re.DOTALL)
    assert figures.findall(text) == figures.findall(alone) != []
    assert text.count("data:image/webp") == alone.count("data:image/webp") > 0
    with pytest.raises(UsageError, match="no common place for a page"):
        api.write_report(days)


def test_they_are_compared_as_one_run(days, merged, folder, net):
    again = folder / "copied"
    shutil.copytree(folder / "days", again)
    found = api.compare(f"{folder}/days/*", f"{again}/*")
    assert (found.images, found.agreement, found.only_in_a) == (DAYS * EACH, 100.0, 0)
    board = api.leaderboard([merged, f"{folder}/days/*", f"{again}/*"])
    assert board.same_images
    assert {entry.top1 for entry in board.entries} == {board.entries[0].top1}


def test_an_image_in_two_is_refused(days, folder, net, tmp_path):
    overlap = scored(folder, net, "overlap", EACH - 1, 2)
    with pytest.raises(UsageError, match=r"00007.jpg is in both .*day-0 and .*overlap"):
        api.rescore([*days, overlap], "embedded")
    with pytest.raises(UsageError, match="named twice"):
        api.rescore([days[0], f"{folder}/days/*"], "embedded")


@pytest.mark.slow
def test_other_networks_and_preprocessing_are_refused(days, folder, tmp_path, net):
    other = color_net(tmp_path / "other.onnx", seed=5)
    with pytest.raises(UsageError, match=r"are not read as one: model\.sha256"):
        api.rescore([days[0], scored(folder, other, "o", 50)], "embedded")
    recipe = {"name": str(net), "preprocess": {"resize": 40, "crop": 32}}
    squashed = scored(folder, net, "s", 60, model=recipe)
    with pytest.raises(UsageError, match="are not read as one: preprocess"):
        api.write_report([days[0], squashed], page=str(tmp_path / "p.html"))
    assert not (tmp_path / "p.html").exists()


def test_parts_are_all_there_or_it_says_which_are_not(folder, days, net, caplog):
    part = scored(folder, net, "part", 70, select={"part": "1/3"})
    with pytest.raises(UsageError, match="2 parts are missing: 2/3, 3/3; --partial"):
        api.rescore([part, days[0]], "embedded")
    found = api.rescore([part, days[0]], "embedded", partial=True)
    assert "2 parts are missing" in caplog.text
    assert EACH < found.metrics[0].n < 2 * EACH


def test_what_no_glob_means_is_refused(folder, days, tmp_path):
    with pytest.raises(UsageError, match="no output is named"):
        api.rescore(f"{folder}/nights/*", "embedded")
    (folder / "days" / "notes.txt").write_text("no output")
    assert api.rescore(f"{folder}/days/*", "embedded").metrics[0].n == DAYS * EACH


@pytest.mark.slow
def test_a_glob_in_a_bucket(folder, days, merged, tmp_path):
    with s3.bucket(tmp_path / "s3") as store:
        for number, day in enumerate(days):
            target = Folder(f"{store}/days/2026-11-0{number}")
            for name in (n for n in Folder(day).walk("") if os.path.isfile(f"{day}/{n}")):
                target.write_bytes(name, Folder(day).read_bytes(name))
        labels = str(folder / "labels.csv")
        found = api.rescore(f"{store}/days/2026-11-*", labels)
        assert found.to_json() == api.rescore(merged, labels).to_json()
        with pytest.raises(UsageError, match="no output is named"):
            api.rescore(f"{store}/days/2025-*", labels)
