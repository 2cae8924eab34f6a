"""Images with an error are scored again in place, each once, and nothing else is."""

import os
import shutil

import pytest

from tests.sources.samples import tar_bytes
from tests.support.here import Here
from tests.support.images import cut, jpeg, write_folder
from tests.support.night import Night, killed_at
from vggbatch import api
from vggbatch.errors import UsageError


@pytest.fixture(scope="module")
def scored_night(tmp_path_factory, net):
    root = tmp_path_factory.mktemp("nights")
    (root / "night").mkdir()
    night = Night(root / "night", net)
    (night.images / "00005x.jpg").write_bytes(b"")
    members = {f"{n:05d}.jpg": jpeg(cut(n)) for n in range(110, 114)} | {
        "z.jpg": b"no image either"
    }
    (night.images / "b.tar").write_bytes(tar_bytes(members))
    night.score()
    return night.kept(root / "aside")


@pytest.fixture
def night(scored_night):
    return scored_night()


def errors(night):
    return {row["image_id"]: row["error"].split(":")[0] for row in night.rows() if row["error"]}


def test_exactly_what_has_an_error_is_scored_again(night):
    kinds = errors(night)
    assert set(kinds) == {"00003x.jpg", "00005x.jpg", "b.tar/z.jpg"}
    before = night.rows()
    done, images = night.score(retry="errors")
    assert sorted(images) == sorted(kinds)
    assert night.rows() == before, "they have the same errors still"
    assert done.record["history"][-1]["retried"] == 3
    (night.images / "00003x.jpg").write_bytes(jpeg(cut(50)))
    assert sorted(night.score(retry="errors")[1]) == sorted(kinds)
    assert set(errors(night)) == {"00005x.jpg", "b.tar/z.jpg"}
    night.check()
    assert night.score()[0].result.complete_before


def test_kinds_are_chosen(night):
    kind = errors(night)["00005x.jpg"]
    assert kind != errors(night)["00003x.jpg"]
    assert night.score(retry=f"errors={kind}")[1] == ["00005x.jpg"]
    assert night.score(retry="errors=timeout")[0].result.complete_before


def test_metrics_stay_exact_for_rows_that_had_an_error_say_nothing_else(night):
    (night.images / "00003x.jpg").write_bytes(jpeg(cut(50)))
    night.score(retry="errors=not_image")
    night.check()


@pytest.mark.slow
def test_a_shard_that_was_replaced_is_scored_as_a_whole(night):
    night.tar("b", 110)
    _, images = night.score(retry="errors")
    assert {name for name in images if name.startswith("b.tar/")} == {
        f"b.tar/{n:05d}.jpg" for n in range(110, 115)
    }
    night.check()


@pytest.mark.slow
def test_what_is_in_the_input_no_more_stays(night, caplog):
    (night.images / "00003x.jpg").unlink()
    assert sorted(night.score(retry="errors")[1]) == ["00005x.jpg", "b.tar/z.jpg"]
    assert "1 images with an error are in the input no more" in caplog.text
    assert "00003x.jpg" in errors(night)


@pytest.mark.slow
def test_new_images_are_left_to_append(night):
    write_folder(night.images, 2, start=20)
    assert len(night.score(retry="errors")[1]) == 3
    assert len(night.score(append=True)[1]) == 2
    night.check()


def test_a_killed_retry_goes_on(night):
    before = night.rows()
    with pytest.raises(KeyboardInterrupt):
        night.score(retry="errors", executor=Here(stop=1))
    assert night.rows() == before
    assert len(night.score(retry="errors")[1]) < 3
    night.check()


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 31])
def test_every_write_of_a_retry_may_be_the_last(night, monkeypatch, step):
    (night.images / "00003x.jpg").write_bytes(jpeg(cut(50)))
    base = night.folder / "base"
    shutil.copytree(night.out, base)
    before, expected = night.rows(), night.fresh()[0]

    def command():
        night.score(retry="errors=not_image")

    operations = 0
    for number in range(0, 900, step):
        shutil.rmtree(night.out)
        shutil.copytree(base, night.out)
        if not killed_at(number, command, monkeypatch):
            break
        operations += 1
        read = api.load_predictions(str(night.out)).sort_by("image_id").to_pylist()
        assert read in (before, expected), number
        command()
        assert night.rows() == expected, number
        assert len(os.listdir(night.out / "_vggbatch")) == 2, number
    assert operations * step > 20


def test_what_is_no_retry_is_refused(night):
    unknown = {"retry": "errors=missing,nokind"}
    both = {"retry": "errors", "append": True}
    for options in ({"retry": "all"}, {"retry": "errors="}, unknown, both):
        with pytest.raises(UsageError, match="retry"):
            night.score(**options)


def test_where_nothing_was_scored_nothing_is_retried(night):
    with pytest.raises(UsageError, match="is no output yet: there is nothing to retry"):
        night.score(out=night.folder / "misspelled", retry="errors")
    assert not (night.folder / "misspelled").exists()
