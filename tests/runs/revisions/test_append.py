"""A finished output gets what its input has gained: each image once, whatever was killed when."""

import os
import shutil
from dataclasses import replace

import pyarrow as pa
import pytest

from tests.support.here import Here
from tests.support.images import cut, jpeg, write_folder
from tests.support.night import Night, killed_at
from vggbatch import api
from vggbatch.config import ComputeOptions
from vggbatch.errors import UsageError
from vggbatch.executors.choose import executor_for
from vggbatch.output.layout import Output


@pytest.fixture(scope="module")
def scored_night(tmp_path_factory, net):
    root = tmp_path_factory.mktemp("nights")
    (root / "night").mkdir()
    night = Night(root / "night", net)
    night.score()
    return night.kept(root / "aside")


@pytest.fixture
def night(scored_night):
    return scored_night()


def data(out):
    return {path.name: path.read_bytes() for path in (out / "predictions").iterdir()}


def test_what_is_new_is_scored_and_what_is_there_stays_byte_for_byte(night):
    before = data(night.out)
    write_folder(night.images, 5, start=20)
    night.tar("b", 110)
    done, images = night.score(append=True)
    expected = {f"{n:05d}.jpg" for n in range(20, 25)} | {
        f"b.tar/{n:05d}.jpg" for n in range(110, 115)
    }
    assert set(images) == expected
    assert len(images) == 10
    night.check()
    assert before.items() <= data(night.out).items()
    history = done.record["history"]
    assert [(one["action"], one["images"]) for one in history] == [("score", 15), ("append", 25)]
    assert history[1]["added"] == 6  # five files and a shard
    assert night.score(append=True)[0].result.complete_before
    assert night.score()[0].result.complete_before, "the plain command finds the same input"
    write_folder(night.images, 1, start=40)
    assert night.score(append=True)[1] == ["00040.jpg"]
    night.check()


def test_metrics_that_an_appended_output_has_lost_come_back_as_they_were(night):
    night.tar("b", 110)
    night.score(append=True)
    tables = {path: path.read_bytes() for path in night.out.glob("metrics/**/*.parquet")}
    first, second = sorted(tables)[:2]
    first.unlink()
    second.write_bytes(b"of a late request")
    night.score(append=True)
    assert {p: p.read_bytes() for p in night.out.glob("metrics/**/*.parquet")} == tables
    night.check()


def test_labels_grow_with_the_images(night):
    lines = night.labels.read_text().splitlines()
    night.labels.write_text("\n".join(lines[:16]) + "\n")  # of the first fifteen images
    night.score(out=night.out, overwrite=True)
    write_folder(night.images, 3, start=20)
    night.labels.write_text("\n".join(lines) + "\n00003x.jpg,1\n")
    with pytest.raises(UsageError, match=r"other labels now .*: 00003x.jpg, a.tar/00100.jpg, .*"):
        night.score(append=True)
    night.labels.write_text("\n".join([*lines[:16], *lines[21:41]]) + "\n")
    with pytest.raises(UsageError, match=r"labels\.csv changed"):
        night.score()
    done, images = night.score(append=True)
    assert sorted(images) == ["00020.jpg", "00021.jpg", "00022.jpg"]
    night.check()
    assert done.record["metrics"]
    assert night.score()[0].result.complete_before, "the labels are those of the output now"


@pytest.mark.slow
def test_an_append_that_was_killed_continues_with_labels_that_grew_again(night):
    lines = night.labels.read_text().splitlines()
    night.labels.write_text("\n".join(lines[:101]) + "\n")
    night.score(overwrite=True)
    write_folder(night.images, 6, start=20)
    with pytest.raises(KeyboardInterrupt):
        night.score(append=True, executor=Here(stop=1))
    night.labels.write_text("\n".join([*lines[:101], "00150.jpg,3"]) + "\n")
    night.score(append=True)
    night.check()


def test_a_first_run_is_one_like_any_other(night):
    out = night.folder / "other"
    assert night.score(out=out, append=True)[0].record["counts"]["images"] == 15
    assert night.rows(out) == night.rows()


def test_changed_and_removed_images_are_named_and_kept_or_not(night, caplog):
    (night.images / "00001.jpg").write_bytes(jpeg(cut(61)))
    (night.images / "00002.jpg").unlink()
    before = night.rows()
    assert night.score(append=True)[0].result.complete_before
    assert "1 images or shards changed since they were scored (00001.jpg)" in caplog.text
    assert "1 images or shards are in the input no more (00002.jpg)" in caplog.text
    assert night.rows() == before
    done, images = night.score(append=True, changed=True, prune=True)
    assert images == ["00001.jpg"]
    assert done.record["history"][-1]["changed"] == done.record["history"][-1]["removed"] == 1
    rows = night.rows()
    assert rows == night.fresh()[0]
    assert [row["image_id"] for row in rows].count("00001.jpg") == 1
    assert night.score()[0].result.complete_before


@pytest.mark.slow
def test_a_changed_and_a_removed_shard(night):
    night.tar("b", 110)
    night.score(append=True)
    night.tar("a", 130)
    (night.images / "b.tar").unlink()
    _, images = night.score(append=True, changed=True, prune=True)
    assert set(images) == {f"a.tar/{n:05d}.jpg" for n in range(130, 135)}
    assert night.rows() == night.fresh()[0]
    night.tar("b", 110)
    assert len(night.score(append=True)[1]) == 5
    assert night.rows() == night.fresh()[0]


def test_files_with_other_times_alone_are_no_change(night):
    for path in night.images.iterdir():
        os.utime(path, ns=(1, 1))
    write_folder(night.images, 1, start=30)
    assert night.score(append=True, changed=True)[1] == ["00030.jpg"]
    night.check()


def test_images_of_the_same_size_and_other_bytes_are_changed(night):
    path = night.images / "00004.jpg"
    size = path.stat().st_size
    other = jpeg(cut(99), quality=30)
    path.write_bytes(other + bytes(size - len(other)))
    assert night.score(append=True, changed=True)[1] == ["00004.jpg"]
    assert night.rows() == night.fresh()[0]


def test_contents_decide_where_no_versions_were_recorded(night, monkeypatch):
    read = Output.read_shards

    def without_versions(output):
        for number, group, shard in read(output):
            members = shard.members
            if members is not None:
                place = members.schema.get_field_index("version")
                members = members.set_column(
                    place, members.schema.field(place), pa.nulls(len(members), pa.string())
                )
            yield number, group, replace(shard, members=members)

    monkeypatch.setattr(Output, "read_shards", lambda output: list(without_versions(output)))
    path = night.images / "00004.jpg"
    size = path.stat().st_size
    other = jpeg(cut(99), quality=30)
    path.write_bytes(other + bytes(size - len(other)))
    # a slice of a listing is compared as one: with that image its neighbors are scored again
    assert "00004.jpg" in night.score(append=True, changed=True)[1]
    monkeypatch.undo()
    assert night.rows() == night.fresh()[0]


@pytest.mark.parametrize(
    "chunks", [0, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))]
)
def test_an_append_that_was_killed_leaves_the_output_readable_and_goes_on(night, chunks):
    before, record = night.rows(), api.load_run(str(night.out))
    write_folder(night.images, 10, start=20)
    with pytest.raises(KeyboardInterrupt):
        night.score(append=True, executor=Here(stop=chunks))
    assert api.load_predictions(str(night.out)).sort_by("image_id").to_pylist() == before
    assert night.rows() == before, "readers of the folder too"
    assert api.load_run(str(night.out)) == record
    found = api.status(str(night.out))
    assert (found.state, found.adding) == ("complete", 3 * chunks)
    _, images = night.score(append=True)
    assert len(images) == 10 - 3 * chunks
    assert "generation 1, append" in api.status(str(night.out)).origin
    night.check()


def test_what_came_after_the_killed_append_is_scored_too(night):
    write_folder(night.images, 10, start=20)
    with pytest.raises(KeyboardInterrupt):
        night.score(append=True, executor=Here(stop=2))
    write_folder(night.images, 4, start=10)
    done, images = night.score(append=True)
    assert len(images) == 4 + 4
    assert [one["added"] for one in done.record["history"][1:]] == [10, 4]
    night.check()


def test_a_killed_append_whose_images_have_changed_begins_again(night):
    write_folder(night.images, 10, start=20)
    with pytest.raises(KeyboardInterrupt):
        night.score(append=True, executor=Here(stop=2))
    (night.images / "00020.jpg").write_bytes(jpeg(cut(77)))
    assert len(night.score(append=True)[1]) == 10
    night.check()


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 9])
def test_every_write_of_an_append_may_be_the_last(night, monkeypatch, step):
    """Killed before each write and each deletion in turn; read and repeated each time."""
    (night.images / "00001.jpg").write_bytes(jpeg(cut(61)))
    write_folder(night.images, 4, start=20)
    base = night.folder / "base"
    shutil.copytree(night.out, base)
    before, expected = night.rows(), night.fresh()[0]
    operations = 0

    def command():
        night.score(append=True, changed=True)

    for number in range(0, 900, step):
        shutil.rmtree(night.out)
        shutil.copytree(base, night.out)
        if not killed_at(number, command, monkeypatch):
            break
        operations += 1
        read = api.load_predictions(str(night.out)).sort_by("image_id").to_pylist()
        assert read in (before, expected), number
        assert api.status(str(night.out)).state == "complete", number
        command()
        assert night.rows() == expected, number
        assert sorted(os.listdir(night.out / "_vggbatch")) == sorted(
            [api.load_run(str(night.out))["plan"], "plan.json"]
        ), number
    assert operations * step > 20


@pytest.mark.slow
def test_further_profiles_are_appended_to(tmp_path, net):
    night = Night(tmp_path, net)
    many = {"profiles": {"x": {"resize": 40, "crop": 32}, "y": {"resize": 36, "crop": 32}}}
    night.score(**many)
    write_folder(night.images, 3, start=20)
    (night.images / "00005.jpg").unlink()
    night.score(append=True, prune=True, **many)
    fresh = tmp_path / "fresh"
    night.score(out=fresh, **many)
    for place in ("", "/profiles/y"):
        assert night.rows(f"{night.out}{place}") == night.rows(f"{fresh}{place}")
        assert len(api.load_predictions(f"{night.out}{place}")) == 17


def test_other_settings_and_other_versions_are_refused(night, monkeypatch):
    write_folder(night.images, 1, start=20)
    with pytest.raises(UsageError, match=r"decode\.truncated: False -> True"):
        night.score(append=True, decode={"truncated": True})
    monkeypatch.setattr(
        "vggbatch.runs.revisions.gained.versions",
        lambda: {"vggbatch": "9", "onnxruntime": "9", "numpy": "9", "pillow": "9"},
    )
    with pytest.raises(UsageError, match="scored with other versions"):
        night.score(append=True)


@pytest.mark.slow
def test_images_under_another_name_are_refused(tmp_path, net):
    night = Night(tmp_path, net)
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"images/{n:05d}.jpg\n" for n in range(4)))
    night.images, folder = listing, night.images
    night.score()
    write_folder(tmp_path / "elsewhere", 1, start=50)
    listing.write_text(listing.read_text() + "elsewhere/00050.jpg\n")
    with pytest.raises(UsageError, match=r"00000\.jpg is named images/00000\.jpg now"):
        night.score(append=True)
    assert folder.exists()


def test_what_does_not_go_together_is_refused(night):
    for options in (
        {"changed": True},
        {"append": True, "overwrite": True},
        {"append": True, "select": {"limit": 3}},
    ):
        with pytest.raises(UsageError, match="append"):
            night.score(**options)


def test_an_unfinished_first_run_is_finished_first(tmp_path, net):
    night = Night(tmp_path, net)
    with pytest.raises(KeyboardInterrupt):
        night.score(executor=Here(stop=2))
    write_folder(night.images, 3, start=20)
    with pytest.raises(UsageError, match="the input changed"):
        night.score()
    done, images = night.score(append=True)
    assert len(images) == 15 - 5 + 3, "the two chunks of the shard were done"
    assert len(done.record["history"]) == 2
    night.check()


@pytest.mark.slow
def test_a_damaged_appended_output_is_made_whole(night):
    write_folder(night.images, 5, start=20)
    night.score(append=True)
    name = sorted(os.listdir(night.out / "predictions"))[-1]
    (night.out / "predictions" / name).unlink()
    assert api.status(str(night.out)).state == "damaged"
    night.score()
    assert night.rows() == night.fresh()[0]
    assert len(api.load_run(str(night.out))["history"]) == 2


@pytest.mark.slow
def test_an_appended_output_is_merged_like_any_other(night):
    write_folder(night.images, 5, start=20)
    (night.images / "00001.jpg").unlink()
    night.score(append=True, prune=True)
    other = (
        Night(night.folder / "more", night.net) if (night.folder / "more").mkdir() is None else None
    )
    for path in other.images.iterdir():
        path.rename(path.with_name(f"z{path.name}"))
    other.labels = night.labels
    other.score()
    out = night.folder / "joined"
    api.merge([str(night.out), str(other.out)], str(out))
    assert night.rows(out) == sorted(
        night.rows() + night.rows(other.out), key=lambda r: r["image_id"]
    )


def test_a_plan_says_what_would_come_and_go(night):
    asked = {"model": str(night.net), "labels": str(night.labels), "output": str(night.out)}
    asked |= {"chunk_size": 3, "rows_per_file": 6}

    def plan(**options):
        return api.plan(str(night.images), **asked, **options)

    assert plan(append=True).output == "complete: nothing is left to do"
    assert plan(retry="errors").output == "complete: 1 images are scored for it"
    write_folder(night.images, 2, start=20)
    (night.images / "00005.jpg").unlink()
    before = sorted(os.listdir(night.out))
    found = plan(append=True, prune=True)
    assert found.output == "complete: 2 images are scored for it, the rows of 1 images or shards go"
    assert found.estimate.images == 2
    assert plan(append=True).output == "complete: 2 images are scored for it"
    with pytest.raises(UsageError, match="the input changed"):
        plan()
    assert sorted(os.listdir(night.out)) == before


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_an_append_and_a_retry_on_ray(night):
    """Images and a shard come, one that could not be read can be, one changes and one goes."""
    before = data(night.out)
    write_folder(night.images, 4, start=20)
    night.tar("b", 110)
    with executor_for(ComputeOptions(executor="ray")) as executor:
        done, _ = night.score(append=True, executor=executor)
    assert done.record["executor"] == "ray"
    assert done.record["history"][-1]["added"] == 5
    assert {name: data(night.out)[name] for name in before} == before
    night.check()
    (night.images / "00003x.jpg").write_bytes(jpeg(cut(50)))
    with executor_for(ComputeOptions(executor="ray")) as executor:
        done, _ = night.score(retry="errors", executor=executor)
    assert done.record["history"][-1]["retried"] == 1
    night.check()
    (night.images / "00001.jpg").write_bytes(jpeg(cut(61)))
    (night.images / "00005.jpg").unlink()
    with executor_for(ComputeOptions(executor="ray")) as executor:
        done, _ = night.score(append=True, changed=True, prune=True, executor=executor)
    assert night.rows() == night.fresh()[0]
