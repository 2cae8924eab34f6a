"""Some images of an input: the first, a sample, a part; whatever the input's form."""

import hashlib

import pytest

from tests.support.formats import write_all
from tests.support.images import cut, jpeg
from vggbatch.config import Selection, validate
from vggbatch.errors import UsageError
from vggbatch.sources import discover, reader_for, select

COUNT = 23
WNIDS = ["n01440764", "n01443537"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("formats")
    images = [jpeg(cut(number)) for number in range(COUNT)]
    named = write_all(root, images, [number % 2 for number in range(COUNT)], WNIDS)
    return {kind: str(root / name) for kind, name in named.items()}


def ids(shards):
    return [i for s in shards for i in s.image_ids(reader_for(s.format).members(s))]


def chosen(inputs, **options):
    named = [inputs] if isinstance(inputs, str) else inputs
    return ids(select(discover(named), Selection(**options)))


@pytest.mark.parametrize(
    "kind", ["folder", "csv", "list", "tar", "webdataset", "recordio", "tfrecord", "synsets"]
)
def test_limits_samples_and_parts_are_of_all_images(inputs, kind):
    whole = ids(discover([inputs[kind]]))
    assert chosen(inputs[kind], limit=7) == whole[:7]
    assert chosen(inputs[kind], limit=99) == whole
    drawn = chosen(inputs[kind], sample=9)
    assert len(set(drawn)) == 9
    assert drawn == [name for name in whole if name in set(drawn)]
    assert [name for k in (1, 2, 3) for name in chosen(inputs[kind], part=f"{k}/3")] == whole


def test_a_sample_is_those_of_the_least_hashes_by_other_code(inputs):
    whole = ids(discover([inputs["tar"], inputs["recordio"], inputs["folder"]]))
    key = hashlib.sha256(b"5").digest()
    by_hash = sorted(
        whole, key=lambda name: hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()
    )
    for count in (1, 10, 40):
        drawn = chosen([inputs["folder"], inputs["recordio"], inputs["tar"]], sample=count, seed=5)
        assert set(drawn) == set(by_hash[:count])
    assert set(chosen(inputs["folder"], sample=9)) != set(
        chosen(inputs["folder"], sample=9, seed=1)
    )


def test_the_same_images_named_in_another_way_give_the_same_sample(inputs, tmp_path):
    expected = set(chosen(inputs["folder"], sample=6))
    assert set(chosen(inputs["folder"] + "/*.jpg", sample=6)) == expected
    assert set(chosen(inputs["list"], sample=6)) == expected
    assert {name.rpartition("/")[2] for name in chosen(inputs["csv"], sample=6)} == expected


def test_shards_are_not_opened_where_there_are_as_many_as_parts(inputs):
    shards = discover([inputs["tar"], inputs["recordio"], inputs["tfrecord"]])
    parts = [select(shards, Selection(part=f"{k}/2")) for k in (1, 2)]
    assert all(shard.members is None for part in parts for shard in part)
    assert [s.name for part in parts for s in part] == [s.name for s in shards]


def test_parts_of_shards_and_files_together_cover_and_are_disjoint(inputs):
    named = [inputs["tar"], inputs["recordio"], inputs["folder"], inputs["tfrecord"]]
    whole = ids(discover(named))
    for count in (2, 3, 5, 7):
        parts = [chosen(named, part=f"{k}/{count}") for k in range(1, count + 1)]
        assert all(parts)
        assert sorted(name for part in parts for name in part) == sorted(whole)


def test_a_part_of_a_sample(inputs):
    drawn = chosen(inputs["tar"], sample=9)
    assert [n for k in (1, 2) for n in chosen(inputs["tar"], sample=9, part=f"{k}/2")] == drawn


def test_more_parts_than_images_are_refused(inputs):
    with pytest.raises(UsageError, match="there are more parts"):
        chosen(inputs["folder"], part="1/24")


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5"])
def test_what_is_no_part_is_refused(part):
    with pytest.raises(UsageError, match="K/N"):
        validate(Selection, {"part": part}, origin="options")


def test_what_contradicts_itself_is_refused():
    with pytest.raises(UsageError, match="exclude"):
        validate(Selection, {"limit": 1, "sample": 1}, origin="options")
    with pytest.raises(UsageError, match="give sample"):
        validate(Selection, {"seed": 1}, origin="options")
