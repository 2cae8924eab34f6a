import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.support.images import cut
from vggbatch.config import Preprocess
from vggbatch.metrics import RECORDED
from vggbatch.preprocess.transform import center_crop
from vggbatch.report.scan import find
from vggbatch.report.thumbnails import SIZE, thumbnails
from vggbatch.storage.filesystem import Folder


@pytest.fixture
def record(run):
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize(
    ("image_id", "image"),
    [
        ("00003.jpg", cut(3)),
        ("more.tar/deep/00043.jpg", cut(43, width=160, height=120)),
    ],
)
def test_a_thumbnail_is_what_the_network_saw(run, record, image_id, image):
    examples = find(Folder(str(run)), RECORDED, [image_id])
    made = thumbnails(Folder(str(run)), list(examples.values()), record)
    assert made.problem is None
    head, _, data = made.uris[image_id].partition(",")
    assert head == "data:image/webp;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert shown.size == (SIZE, SIZE)
    crop = center_crop(image, Preprocess(resize=36, crop=32))
    small = np.asarray(shown.convert("RGB").resize((32, 32), Image.Resampling.BOX), float)
    assert np.abs(small - crop).mean() < 12


def test_what_cannot_be_decoded_has_none(run, record):
    examples = find(Folder(str(run)), RECORDED, ["bad <b>.jpg", "00000.jpg"])
    made = thumbnails(Folder(str(run)), list(examples.values()), record)
    assert list(made.uris) == ["00000.jpg"]


def test_an_output_without_its_state_has_none_and_says_why(run, record, tmp_path):
    examples = find(Folder(str(run)), RECORDED, ["00000.jpg"])
    made = thumbnails(Folder(str(tmp_path)), list(examples.values()), record)
    assert made.uris == {}
    assert "could not be read" in made.problem
