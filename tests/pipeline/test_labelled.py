from dataclasses import replace

import pytest

from tests.images import write_folder
from tests.pipeline.test_preview import job
from vggbatch.errors import UsageError
from vggbatch.pipeline.labelled import LabelCount, check_labelled, count_labelled


@pytest.fixture
def labelled(net, tmp_path):
    """A job on three images, of which the names that are given have labels."""
    names = write_folder(tmp_path / "images", 3)

    def make(*labels):
        rows = "".join(f"{name},1\n" for name in labels)
        (tmp_path / "labels.csv").write_text(f"file,class_index\n{rows}")
        options = {"labels": str(tmp_path / "labels.csv")}
        return job(net, tmp_path / "out", tmp_path / "images", **options)

    return make, names


def empty(shard):
    return replace(shard, members=shard.members.slice(0, 0))


def test_labels_of_other_images_are_refused_with_the_first_image(labelled):
    make, names = labelled
    found = make("somewhere/else.jpg")
    with pytest.raises(UsageError, match=rf"labels\.csv; the first of 3 images is .*{names[0]}"):
        check_labelled(found)


def test_one_label_is_enough_wherever_it_is(labelled):
    make, names = labelled
    check_labelled(make(names[2]))


def test_a_shard_without_images_says_nothing_of_the_labels(labelled):
    make, names = labelled
    found = make("somewhere/else.jpg")
    [shard] = found.shards
    check_labelled(replace(found, shards=(empty(shard),)))
    with pytest.raises(UsageError, match=rf"the first of 3 images is .*{names[0]}"):
        check_labelled(replace(found, shards=(empty(shard), shard, empty(shard))))


def test_images_inside_shards_are_not_judged(labelled):
    make, _ = labelled
    found = make("somewhere/else.jpg")
    [shard] = found.shards
    closed = replace(shard, members=None)
    check_labelled(replace(found, shards=(shard, closed)))
    assert count_labelled([closed], found.labels) is None
    assert count_labelled([shard, closed], found.labels) == LabelCount(0, 3)
