import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vggbatch
from tests.sources.samples import jpeg, tar_bytes
from tests.support.configure import configure
from tests.support.formats import HF_IMAGE, example, mxnet_pack, recordio, tfrecord
from tests.support.images import write_folder
from tests.support.planned import job
from vggbatch.errors import UsageError
from vggbatch.job.job import prepare_job
from vggbatch.job.label_check import (
    FEW_CLASSES,
    FROM_ONE,
    UNLABELED,
    UNUSED,
    LabelCount,
    check_labeled,
    count_labeled,
)
from vggbatch.job.own_classes import OWN_CLASSES
from vggbatch.sources import reader_for
from vggbatch.sources.input_warnings import NO_CLASS


@pytest.fixture
def labeled(net, tmp_path):
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


def test_labels_of_other_images_are_refused_with_the_first_image(labeled):
    make, names = labeled
    found = make("somewhere/else.jpg")
    with pytest.raises(UsageError, match=rf"labels\.csv; the first of 3 images is .*{names[0]}"):
        check_labeled(found)


def test_one_label_is_enough_wherever_it_is(labeled):
    make, names = labeled
    check_labeled(make(names[2]))


def test_a_shard_without_images_says_nothing_of_the_labels(labeled):
    make, names = labeled
    found = make("somewhere/else.jpg")
    [shard] = found.shards
    check_labeled(replace(found, shards=(empty(shard),)))
    with pytest.raises(UsageError, match=rf"the first of 3 images is .*{names[0]}"):
        check_labeled(replace(found, shards=(empty(shard), shard, empty(shard))))


def test_images_inside_shards_are_not_judged(labeled):
    make, _ = labeled
    found = make("somewhere/else.jpg")
    [shard] = found.shards
    closed = replace(shard, members=None)
    check_labeled(replace(found, shards=(shard, closed)))
    assert count_labeled([closed], found.labels) is None
    assert count_labeled([shard, closed], found.labels) == LabelCount(0, 3)


@pytest.fixture
def planned(net, tmp_path):
    """The tokens of all images and their classes, as `plan --labels embedded` would have them."""

    def make(*inputs, labels="embedded", **options):
        found = vggbatch.plan(
            list(inputs), output=tmp_path / "out", model=net, labels=labels, **options
        )
        result = {}
        for shard in found.job.shards:
            members = reader_for(shard.format).members(shard)
            ids = shard.image_ids(members)
            classes = found.job.labels.match(ids, members["label"].to_pylist()).to_pylist()
            result |= dict(zip(ids, classes, strict=True))
        return result, [odd.what for odd in found.input_warnings]

    return make


def folder(root, *names):
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(i))
    return root


def hf_parquet(path, labels, names=None, **columns):
    table = pa.table(
        {
            "image": pa.array(
                [{"bytes": jpeg(i), "path": None} for i in range(len(labels))], HF_IMAGE
            ),
            "label": labels,
            **columns,
        }
    )
    if names is not None:
        feature = {"names": names, "_type": "ClassLabel"}
        facts = {"info": {"features": {"image": {"_type": "Image"}, "label": feature}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(facts)})
    pq.write_table(table, path)
    return path


def slim_records(path, *labels):
    features = [{"image/encoded": jpeg(i), "image/class/label": i} for i in labels]
    path.write_bytes(b"".join(tfrecord(example(one)) for one in features))
    return path


@pytest.mark.parametrize(
    "names",
    [
        ["n02102040", "n03000684", "n03394916"],
        ["English springer", "chain saw, chainsaw", "French horn, horn"],
        ["english_springer", "chainsaw", "French_horn"],
    ],
)
def test_labels_of_a_subset_are_translated(planned, tmp_path, names):
    found, _ = planned(hf_parquet(tmp_path / "a.parquet", [0, 1, 2, -1], names))
    assert list(found.values()) == [217, 491, 566, None]


def test_classes_that_the_network_lacks_are_reported(planned, tmp_path):
    found, odd = planned(hf_parquet(tmp_path / "a.parquet", [0, 1, 1], ["tench", "unicorn"]))
    assert list(found.values()) == [0, None, None]
    assert odd == [NO_CLASS]
    with pytest.raises(UsageError, match="'unicorn' is no class of this model"):
        planned(hf_parquet(tmp_path / "a.parquet", [0, 0], ["unicorn", "tench"]))
    with pytest.raises(UsageError, match=r"'crane' may be class 134 .* or class 517"):
        planned(hf_parquet(tmp_path / "a.parquet", [0, 1], ["crane", "tench"]))


def test_parquet_columns(planned, tmp_path):
    rows = {"index": [0, 1, 2], "__index_level_0__": [9, 8, 7]}
    found, _ = planned(hf_parquet(tmp_path / "a.parquet", [7, 5, 5], **rows))
    assert list(found.values()) == [7, 5, 5]
    path = hf_parquet(tmp_path / "a.parquet", [7, 5, 5], target=[1, 2, 3])
    with pytest.raises(UsageError, match="'label' and column 'target'"):
        planned(path)
    found, _ = planned(path, columns={"label": "target"})
    assert list(found.values()) == [1, 2, 3]


def test_columns_of_labels_do_not_matter_without_labels(net, tmp_path):
    path = hf_parquet(tmp_path / "a.parquet", [7, 5, 5], target=[1, 2, 3])
    assert vggbatch.plan(path, output=tmp_path / "out", model=net).output == "new"


def test_a_class_list_beside_the_shards_is_used_and_named(planned, tmp_path):
    (tmp_path / "labels.txt").write_text("0:n02102040\n1:n03000684\n")
    found, odd = planned(slim_records(tmp_path / "a.tfrecord", 0, 1))
    assert list(found.values()) == [217, 491]
    assert odd == [OWN_CLASSES]


def test_labels_from_one_are_refused_before_the_work(planned, tmp_path):
    path = slim_records(tmp_path / "a.tfrecord", 1, 1000)
    with pytest.raises(UsageError, match=r"1000 is among its labels.*indices\.start=1"):
        planned(path)
    found, _ = planned(path, indices={"start": 1})
    assert list(found.values()) == [0, 999]
    slim_records(path, 0, 1000)
    with pytest.raises(UsageError, match=r"1000 is no class.*indices\.names"):
        planned(path)


def test_labels_that_are_only_the_first_are_reported(planned, tmp_path):
    path = tmp_path / "a.rec"
    path.write_bytes(b"".join(recordio(mxnet_pack(jpeg(i), i, i % 3)) for i in range(6)))
    assert planned(path) == ({f"a.rec/{i}": i % 3 for i in range(6)}, [FEW_CLASSES])


def test_integer_folders_need_a_word(planned, tmp_path):
    root = folder(tmp_path / "v2", "313/0.jpg", "7/0.jpg")
    with pytest.raises(UsageError, match=r"numbers \((7|313)\).*indices\.folders=true.*label file"):
        planned(root)
    assert planned(root, indices={"folders": True})[0] == {"313/0.jpg": 313, "7/0.jpg": 7}


def test_folders_of_synsets_and_names(planned, tmp_path):
    names = ["n02102040/images/a.JPEG", "n02085620-Chihuahua/b.jpg", "tabby_cat/c.jpg"]
    assert sorted(planned(folder(tmp_path / "x", *names))[0].values()) == [151, 217, 281]


def test_shards_without_labels_are_refused_before_the_work(planned, tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_bytes({"0.jpg": jpeg(0), "0.json": b'{"label": 7}'}))
    with pytest.raises(UsageError, match=r"no image has a label in embedded.*\.cls"):
        planned(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(tar_bytes({"0.jpg": jpeg(0), "0.cls": b"7"}))
    assert planned(tmp_path / "a.tar")[0] == {"a.tar/0.jpg": 7}


def test_a_label_of_two_images_is_refused(planned, tmp_path):
    root = folder(tmp_path / "x", "a/0.jpg", "b/0.jpg")
    labels = tmp_path / "l.csv"
    labels.write_text("file,label\n0.jpg,5\n")
    with pytest.raises(UsageError, match=r"label of 0\.jpg fits two images, a/0\.jpg and b/0\.jpg"):
        planned(root, labels=labels)
    labels.write_text("file,label\na/0.jpg,5\nb/0.jpg,6\n")
    assert planned(root, labels=labels)[0] == {"a/0.jpg": 5, "b/0.jpg": 6}


def test_pictures_and_masks_of_one_stem(planned, tmp_path):
    root = folder(tmp_path / "x", "0.jpg", "0.png")
    (tmp_path / "l.csv").write_text("file,label\n0.jpg,5\n")
    found, odd = planned(root, labels=tmp_path / "l.csv")
    assert found == {"0.jpg": 5, "0.png": None}
    assert odd == [UNLABELED]


def test_an_image_that_is_named_twice_has_its_label_twice(planned, tmp_path):
    folder(tmp_path, "x/0.jpg", "x/1.jpg")
    (tmp_path / "l.txt").write_text("x/0.jpg\nx/1.jpg\nx/0.jpg\n")
    (tmp_path / "l.csv").write_text("file;label\n0.jpg;5\n1.jpg;6\n")
    found, _ = planned(tmp_path / "l.txt", labels=tmp_path / "l.csv")
    assert found == {"0.jpg": 5, "0.jpg#2": 5, "1.jpg": 6}


def test_labels_of_no_class_are_counted_in_shards_that_nobody_looked_into(net, tmp_path):
    labels = {"a": "n01440764", "b": "n99999999", "c": "n01443537"}
    (tmp_path / "in").mkdir()
    for name, label in labels.items():
        members = {f"{i}.jpg": jpeg(i) for i in range(4)}
        members |= {f"{i}.cls": label.encode() for i in range(4)}
        (tmp_path / f"in/{name}.tar").write_bytes(tar_bytes(members))
    config = configure(net, tmp_path / "out", tmp_path / "in", labels="embedded")
    record = vggbatch.evaluate(config).record
    examples = [f"b.tar/{i}.jpg (n99999999)" for i in range(3)]
    assert record["unused_labels"] == [{"what": NO_CLASS, "count": 4, "examples": examples}]
    assert vggbatch.load_run(str(tmp_path / "out"))["unused_labels"] == record["unused_labels"]


@pytest.fixture
def doubtful(net, tmp_path):
    """A job on three images whose label file has two columns of names."""

    def make(a, b, shards=False, header="id,image_name,label"):
        names = write_folder(tmp_path / "images", 3)
        inputs = tmp_path / "images"
        if shards:
            contents = {name: (inputs / name).read_bytes() for name in names}
            inputs = tmp_path / "a.tar"
            inputs.write_bytes(tar_bytes(contents))
        rows = zip(a, b, (7, 8, 9), strict=True)
        lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
        (tmp_path / "labels.csv").write_text(f"{header}\n{lines}")
        return job(net, tmp_path / "out", inputs, labels=str(tmp_path / "labels.csv"))

    return make


STEMS = ["00000", "00001", "00002"]
OTHERS = ["x19", "x7", "x3"]


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize(("a", "b"), [(STEMS, OTHERS), (OTHERS, STEMS)])
def test_the_column_that_names_the_images_is_the_one_of_files(doubtful, a, b, shards):
    found = doubtful(a, b, shards)
    ids = [f"a.tar/{stem}.jpg" if shards else f"{stem}.jpg" for stem in STEMS]
    assert found.labels.match(ids, [None] * 3).to_pylist() == [7, 8, 9]


def test_names_that_look_like_row_numbers_are_names_where_images_have_them(doubtful, tmp_path):
    found = doubtful([17, 18, 19], ["0", "1", "2"])
    assert found.labels.match(["17.jpg", "0.jpg"], [None] * 2).to_pylist() == [7, None]
    for number, stem in enumerate(STEMS):
        (tmp_path / "images" / f"{stem}.jpg").rename(tmp_path / "images" / f"{number}.jpg")
    config = found.config
    again = prepare_job(config)
    assert again.labels.match(["17.jpg", "0.jpg"], [None] * 2).to_pylist() == [None, 7]


@pytest.mark.parametrize(("a", "b"), [(OTHERS, OTHERS[::-1]), (STEMS, STEMS[::-1])])
def test_where_both_or_none_does_it_is_refused(doubtful, a, b):
    with pytest.raises(UsageError, match=r"'image_name' and column 'id'.*columns\.file"):
        doubtful(a, b)


def test_metrics_choose_the_same_column(doubtful, net, tmp_path):
    config = doubtful(OTHERS, STEMS).config
    labels = ["embedded", *config.labels]
    (tmp_path / "images/n01440764").mkdir()
    (tmp_path / "images/00000.jpg").rename(tmp_path / "images/n01440764/00000.jpg")
    done = vggbatch.evaluate(config.input, model=net, output=tmp_path / "out", labels=labels)
    assert [
        (line.label_set, line.n) for line in done.evaluation.metrics if line.metric == "top1"
    ] == [
        ("embedded", 1),
        ("labels", 3),
    ]


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ([0, 1], FEW_CLASSES),
        (range(10), FEW_CLASSES),
        (range(1, 11), FROM_ONE),
        (range(1, 1000), FROM_ONE),
        ([0, 2, 7], None),
        (range(1000), None),
    ],
)
def test_numbers_in_a_file_that_seem_to_count_other_classes(planned, tmp_path, numbers, what):
    names = [f"{number}.jpg" for number in range(20)]
    root = folder(tmp_path / "x", *names)
    numbers = list(numbers)
    rows = [f"{place}.jpg,{numbers[place % len(numbers)]}" for place in range(2000)]
    (tmp_path / "l.csv").write_text("\n".join(["file,label", *rows]))
    found, odd = planned(root, labels=tmp_path / "l.csv")
    assert found == {name: numbers[place % len(numbers)] for place, name in enumerate(names)}
    assert [kind for kind in odd if kind != UNUSED] == ([what] if what else [])
    _, odd = planned(root, labels=tmp_path / "l.csv", indices={"start": min(numbers)})
    assert odd == [UNUSED]


def test_a_cell_with_two_classes_is_refused(planned, tmp_path):
    root = folder(tmp_path / "x", "a.jpg", "b.jpg")
    cells = "ImageId,PredictionString\na,n01440764 1 2 3 4 {} 5 6 7 8\nb,n01443537 1 2 3 4\n"
    (tmp_path / "l.csv").write_text(cells.format("n01440764"))
    assert planned(root, labels=tmp_path / "l.csv")[0] == {"a.jpg": 0, "b.jpg": 1}
    (tmp_path / "l.csv").write_text(cells.format("n01443537"))
    with pytest.raises(UsageError, match=r"a: .*may be class 0 .* or class 1"):
        planned(root, labels=tmp_path / "l.csv")
