import pytest

from vggbatch.sources.formats.webdataset import further_images, is_metadata, split_key


@pytest.mark.parametrize(
    ("names", "further"),
    [
        (["a/000.jpg", "a/000.cls", "a/000.seg.png"], {"a/000.seg.png"}),
        (["000.jpg", "000.mask.png", "000.depth.png"], {"000.mask.png", "000.depth.png"}),
        # img2dataset's and ADE20K's pairs, a depth map, a converted copy
        (["0.jpg", "0.png", "0.json"], {"0.png"}),
        (["0.input.png", "0.target.png", "0.txt"], {"0.target.png"}),
        (["0.edited.jpg", "0.jpg", "0.json"], {"0.edited.jpg"}),
        (["0.JPG", "0.SEG.PNG"], {"0.SEG.PNG"}),
        # no WebDataset: pictures of their own
        (["photo.2020.jpg", "photo.2021.jpg", "photo.jpg"], set()),
        (["x.jpg", "x.png"], set()),
        # two views of one thing, of which neither is usual
        (["0.left.jpg", "0.right.jpg", "0.cls"], set()),
        (["0.seg.png", "0.cls"], set()),
        (["0.seg.png", "0.depth.png", "0.cls"], set()),
        (["a/0.jpg", "b/0.seg.png", "a/0.cls"], set()),
    ],
)
def test_the_usual_picture_of_a_sample_is_a_row(names, further):
    images = [name for name in names if name.lower().endswith(("jpg", "png"))]
    samples = {split_key(name)[0] for name in names if is_metadata(split_key(name)[1])}
    assert further_images(images, samples) == further


def test_another_one_can_be_chosen():
    names = ["0.jpg", "0.seg.png", "1.jpg"]
    assert further_images(names, {"0", "1"}, chosen="seg.png") == {"0.jpg", "1.jpg"}
