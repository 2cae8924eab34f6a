import pytest

from tests.sources.samples import jpeg, tar_bytes
from tests.support.shards import read_all, write
from vggbatch.config import ColumnOptions
from vggbatch.sources.base import left_out_of
from vggbatch.sources.discover import reader_for, survey
from vggbatch.sources.formats.companions import companions
from vggbatch.sources.input_warnings import COMPANIONS, FURTHER, input_warning
from vggbatch.sources.tables.columns import Reading

PAIRED = {
    "x.seg.png": "x.jpg",
    "a/x.mask.png": "a/x.jpg",
    "a/x_mask.gif": "a/x.jpg",
    "x-depth.png": "x.png",
    "mask_x.png": "x.jpg",
    "ISIC_0012_Segmentation.png": "ISIC_0012.jpg",
    "masks/x.png": "images/x.jpg",
    "SegmentationClass/masks/train/x.png": "SegmentationClass/img/train/x.jpg",
    "d/Masks/x_mask.png": "d/Images/x.jpg",
    "train/gt/1.bmp": "train/RGB/1.jpg",
    "x_thumb.jpg": "x.jpg",
    "VOC2012/SegmentationClass/1.png": "VOC2012/JPEGImages/1.jpg",
    "annotations/training/1.png": "images/training/1.jpg",
}
APART = {
    # classes are called like this, and number their images alike
    "mask/001.jpg": "cat/001.jpg",
    "n03724870/mask_1.jpg": "n03724870/other.jpg",
    "gas_mask.jpg": "gas/mask.jpg",
    "labels.jpg": "images.jpg",
    "masks/x.png": "images/y.jpg",
    "xmask.png": "x.jpg",
    "damask_x.png": "x.png",
}


@pytest.mark.parametrize("mask", PAIRED)
def test_what_is_named_like_a_mask_of_another_is_found(mask):
    assert companions([PAIRED[mask], "other.jpg", mask]) == [mask]


@pytest.mark.parametrize("name", APART)
def test_what_is_only_called_so_is_not(name):
    assert companions([APART[name], name]) == []


def test_masks_in_folders_are_rows_and_named_before_the_work(tmp_path):
    names = ["a/0.jpg", "a/0.seg.png", "a/1.jpg", "a/1.seg.png", "a/2.jpg"]
    found = survey([write(tmp_path, {name: jpeg(i) for i, name in enumerate(names)})])
    assert found.input_warnings == (input_warning(COMPANIONS, ["a/0.seg.png", "a/1.seg.png"]),)
    assert len(read_all(found.shards)) == 5


def members(tmp_path, chosen):
    reading = Reading(ColumnOptions(bytes=chosen))
    [shard] = survey([str(tmp_path / "t.tar")], reading).shards
    return shard, reader_for("tar").members(shard)


@pytest.mark.parametrize("chosen", ["seg.png", ".SEG.PNG"])
def test_a_setting_names_the_image_of_a_sample(tmp_path, chosen):
    files = {f"{i}.{end}": jpeg(3 * i + n) for i in range(2) for n, end in enumerate(ENDS)}
    write(tmp_path, {"t.tar": tar_bytes(files)})
    shard, found = members(tmp_path, chosen)
    assert found["name"].to_pylist() == ["0.seg.png", "1.seg.png"]
    assert list(reader_for("tar").read(shard, found)) == [jpeg(1), jpeg(4)]
    assert left_out_of(found)[FURTHER].count == 4
    assert members(tmp_path, None)[1]["name"].to_pylist() == ["0.jpg", "1.jpg"]


ENDS = ("jpg", "seg.png", "depth.png")


def test_a_shard_without_any_of_that_name_is_an_error(tmp_path):
    write(tmp_path, {"t.tar": tar_bytes({"0.jpg": jpeg(0), "1.jpg": jpeg(1)})})
    assert members(tmp_path, "webp")[1]["error"].to_pylist() == [
        "bad_shard: no image is named *.webp, as columns.bytes says"
    ]
