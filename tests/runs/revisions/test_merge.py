"""Outputs joined to one: nothing missing, nothing twice, as one run would have it."""

import json
import os

import pyarrow as pa
import pyarrow.dataset
import pytest

from tests.sources.samples import tar_bytes
from tests.support.here import Here
from tests.support.images import cut, jpeg, write_folder
from vggbatch import api
from vggbatch.errors import UsageError
from vggbatch.output.layout import Output
from vggbatch.output.ownership.lease import OutputLease
from vggbatch.storage.filesystem import Folder

COUNT = 30
QUIET = {"compute": {"pin": False}, "chunk_size": 4, "executor": Here()}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "images"
    names = write_folder(path, COUNT)
    (path / "00003x.jpg").write_bytes(b"no image")
    (path / "notes.txt").write_text("left out")
    lines = [f"{name},{number % 7}" for number, name in enumerate(names)]
    (path.parent / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    return path


def options(net, images):
    return {"model": str(net), "labels": str(images.parent / "labels.csv"), **QUIET}


@pytest.fixture(scope="module")
def whole(net, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    api.evaluate(str(images), output=str(out), **options(net, images))
    return out


@pytest.fixture(scope="module")
def parts(net, images, tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    for number in (1, 2, 3):
        api.evaluate(
            str(images),
            output=str(root / f"part-{number}"),
            select={"part": f"{number}/3"},
            **options(net, images),
        )
    return [str(root / f"part-{number}") for number in (1, 2, 3)]


def rows(out):
    """By independent code: all that lies in the folder, without run.json."""
    table = pa.dataset.dataset(f"{out}/predictions", format="parquet").to_table()
    return table.sort_by("image_id").to_pylist()


def metrics(out):
    return json.loads((out / "run.json").read_text())["metrics"]


def test_parts_joined_are_what_one_run_gives(parts, whole, images, tmp_path):
    record = api.merge([parts[2], parts[0], parts[1]], str(tmp_path / "out"))
    assert rows(tmp_path / "out") == rows(whole)
    assert len(rows(whole)) == COUNT + 1
    assert metrics(tmp_path / "out") == metrics(whole)
    assert record["counts"] == api.load_run(str(whole))["counts"]
    assert record["left_out"] == api.load_run(str(whole))["left_out"]
    assert [one["select"]["part"] for one in record["merged"]] == ["1/3", "2/3", "3/3"]
    found = api.status(str(tmp_path / "out"))
    assert (found.state, found.rows, found.total) == ("complete", COUNT + 1, COUNT + 1)
    assert (found.origin, api.status(parts[0]).origin) == ("a merge of 3 outputs", "part 1 of 3")
    assert api.status(str(whole)).origin is None
    assert len(api.load_predictions(str(tmp_path / "out"))) == COUNT + 1
    assert api.compare(str(whole), str(tmp_path / "out")).agreement == 100.0
    labels = str(images.parent / "labels.csv")
    assert (
        api.rescore(str(tmp_path / "out"), labels).lines()
        == api.rescore(str(whole), labels).lines()
    )
    assert api.write_report(str(tmp_path / "out")).endswith("report.html")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_files_of_another_user_are_copied(tmp_path):
    (tmp_path / "theirs/predictions").mkdir(parents=True)
    file = tmp_path / "theirs/predictions/part-000000.parquet"
    file.write_bytes(b"rows")
    os.chown(file, 12345, -1)
    with OutputLease(Folder(str(tmp_path / "ours"))) as lease:
        name = "predictions/part-000000.parquet"
        lease.fence.adopt(Folder(str(tmp_path / "theirs")), name, name)
    ours = tmp_path / "ours" / name
    file.write_bytes(b"others")
    assert ours.read_bytes() == b"rows"
    assert ours.stat().st_uid == 0


def test_on_one_disk_the_data_is_linked_and_both_outputs_stay(parts, tmp_path):
    record = api.merge(parts, str(tmp_path / "out"))
    names = [tmp_path / "out" / file["name"] for file in record["files"]]
    assert [name.stat().st_nlink > 1 for name in names] == [True] * 3
    assert all(api.status(part).state == "complete" for part in parts)
    assert not [name for name in os.listdir(tmp_path / "out/_vggbatch") if "owner" in name]


def test_in_another_store_it_is_copied(parts, whole):
    out = "memory://merged/out"
    record = api.merge(parts, out)
    assert record["counts"]["images"] == COUNT + 1
    table = api.load_predictions(out).sort_by("image_id")
    assert table.to_pylist() == rows(whole)
    api.merge([out], "memory://merged/again")  # inside of one store
    assert api.load_predictions("memory://merged/again").sort_by("image_id") == table


def test_a_repeated_merge_does_nothing_and_one_of_others_is_refused(parts, whole, tmp_path):
    out = tmp_path / "out"
    api.merge(parts, str(out))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    api.merge(parts, str(out))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(UsageError, match="merge of other outputs"):
        api.merge([str(whole)], str(out))
    with pytest.raises(UsageError, match="merge of other outputs"):
        api.merge(parts, str(whole))


def test_one_that_was_killed_goes_on(parts, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write = Output.write_marker

    def killed(self, group, marker):
        if group == 1:
            raise KeyboardInterrupt
        return write(self, group, marker)

    monkeypatch.setattr(Output, "write_marker", killed)
    with pytest.raises(KeyboardInterrupt):
        api.merge(parts, str(out))
    monkeypatch.undo()
    assert api.status(str(out)).state == "interrupted"
    api.merge(parts, str(out))
    assert rows(out) == rows(whole)


def test_a_damaged_file_is_made_again(parts, whole, tmp_path):
    out = tmp_path / "out"
    record = api.merge(parts, str(out))
    broken = out / record["files"][1]["name"]
    broken.unlink()
    api.merge(parts, str(out))
    assert rows(out) == rows(whole)


def test_parts_that_are_missing_or_there_twice_are_named(net, images, parts, whole, tmp_path):
    out = str(tmp_path / "out")
    with pytest.raises(UsageError, match=r"1 of 3 parts are missing: 2$"):
        api.merge([parts[0], parts[2]], out)
    with pytest.raises(UsageError, match="named twice"):
        api.merge([parts[0], parts[0]], out)
    with pytest.raises(UsageError, match="not a part of 3"):
        api.merge([*parts, str(whole)], out)
    again = str(tmp_path / "again")
    api.evaluate(str(images), output=again, select={"part": "2/3"}, **options(net, images))
    with pytest.raises(UsageError, match="both part 2 of 3"):
        api.merge([*parts, again], out)
    assert not os.path.exists(out)


def test_parts_of_an_input_that_grew_meanwhile_are_refused(net, tmp_path):
    write_folder(tmp_path / "in", 6)
    outs = [str(tmp_path / f"part-{number}") for number in (1, 2)]
    for number, out in enumerate(outs, 1):
        api.score(
            str(tmp_path / "in"),
            output=out,
            model=str(net),
            select={"part": f"{number}/2"},
            **QUIET,
        )
        write_folder(tmp_path / "in", 1, start=50)
    with pytest.raises(UsageError, match="not of one input"):
        api.merge(outs, str(tmp_path / "out"))


@pytest.mark.slow
def test_days_are_joined_and_an_image_of_both_is_refused(net, tmp_path):
    for day, start in (("mon", 0), ("tue", 5)):
        write_folder(tmp_path / day, 5, start=start)
        data = tar_bytes({f"{n}.jpg": jpeg(cut(n)) for n in range(start, start + 3)})
        (tmp_path / day / f"{day}.tar").write_bytes(data)
        api.score(str(tmp_path / day), output=str(tmp_path / f"out-{day}"), model=str(net), **QUIET)
    days = [str(tmp_path / "out-mon"), str(tmp_path / "out-tue")]
    record = api.merge(days, str(tmp_path / "week"))
    ids = [row["image_id"] for row in rows(tmp_path / "week")]
    assert len(ids) == len(set(ids)) == record["counts"]["images"] == 16
    assert record["metrics"] is None
    write_folder(tmp_path / "wed", 1, start=4)
    api.score(str(tmp_path / "wed"), output=str(tmp_path / "out-wed"), model=str(net), **QUIET)
    with pytest.raises(UsageError, match=r"00004\.jpg is in both"):
        api.merge([*days, str(tmp_path / "out-wed")], str(tmp_path / "other"))


def test_outputs_of_other_settings_are_refused(net, images, whole, tmp_path):
    out = str(tmp_path / "other")
    api.evaluate(str(images), output=out, **{**options(net, images), "decode": {"truncated": True}})
    with pytest.raises(UsageError, match=r"decode\.truncated: False -> True"):
        api.merge([str(whole), out], str(tmp_path / "out"))


@pytest.mark.slow
def test_further_profiles_are_joined_too(net, tmp_path):
    write_folder(tmp_path / "in", 6)
    many = {"profiles": {"a": {"resize": 40, "crop": 32}, "b": {"resize": 36, "crop": 32}}}
    outs = []
    for number in (1, 2):
        outs.append(str(tmp_path / f"part-{number}"))
        part = {"part": f"{number}/2"}
        api.score(
            str(tmp_path / "in"), output=outs[-1], model=str(net), select=part, **many, **QUIET
        )
    api.score(str(tmp_path / "in"), output=str(tmp_path / "one"), model=str(net), **many, **QUIET)
    api.merge(outs, str(tmp_path / "out"))
    for place in ("", "/profiles/b"):
        assert rows(f"{tmp_path}/out{place}") == rows(f"{tmp_path}/one{place}")
        assert len(api.load_predictions(f"{tmp_path}/out{place}")) == 6


def test_a_limit_is_part_of_what_an_output_is(net, images, tmp_path):
    out = str(tmp_path / "out")
    some = {"output": out, "model": str(net), **QUIET}
    scored = api.score(str(images), select={"sample": 5, "seed": 3}, **some)
    assert scored.record["counts"]["images"] == 5
    assert scored.record["config"]["select"]["sample"] == 5
    assert Output(Folder(out)).read_plan()["select"]["seed"] == 3
    assert api.score(str(images), select={"sample": 5, "seed": 3}, **some).result.complete_before
    with pytest.raises(UsageError, match=r"select\.sample: 5 -> 6"):
        api.score(str(images), select={"sample": 6, "seed": 3}, **some)
    with pytest.raises(UsageError, match="select"):
        api.score(str(images), **some)


def test_metrics_of_a_sample_say_how_many_they_are_of(net, images, tmp_path):
    scored = api.evaluate(
        str(images), output=str(tmp_path / "out"), select={"sample": 9}, **options(net, images)
    )
    assert scored.evaluation.metrics[0].n == 9 - sum(
        row["label"] is None for row in rows(tmp_path / "out")
    )
    assert not scored.record["unused_labels"]
