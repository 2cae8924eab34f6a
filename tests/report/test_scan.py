import numpy as np

from vggbatch import api
from vggbatch.metrics import RECORDED
from vggbatch.report.scan import BINS, find, scan
from vggbatch.storage.filesystem import Folder


def test_counts_agree_with_a_plain_loop(run):
    found = scan(Folder(str(run)), RECORDED, 4)
    right, wrong, unlabeled = (np.zeros(BINS, int) for _ in range(3))
    predicted = {}
    for row in api.load_predictions(str(run)).to_pylist():
        if row["error"]:
            continue
        best, probability = row["top5_index"][0], row["top5_probability"][0]
        predicted.setdefault(best, []).append(probability)
        counts = unlabeled
        if row["label"] is not None:
            counts = right if best == row["label"] else wrong
        counts[min(BINS - 1, int(probability * BINS))] += 1
    assert found.rows == 61
    np.testing.assert_array_equal(found.right, right)
    np.testing.assert_array_equal(found.wrong, wrong)
    np.testing.assert_array_equal(found.unlabeled, unlabeled)
    assert found.predicted == {best: len(values) for best, values in predicted.items()}
    for best, values in predicted.items():
        np.testing.assert_allclose(found.confidence[best], sum(values), rtol=1e-6)
    assert found.error_counts == {"not_image": 1, "truncated": 1}


def test_galleries_are_as_long_as_asked_for(run):
    found = scan(Folder(str(run)), RECORDED, 4)
    assert len(found.mistakes.examples()) == len(found.unsure.examples()) == 4
    assert all(len(examples) == 1 for examples in found.errors.values())


def test_images_are_found_with_their_rows(run):
    [wanted] = scan(Folder(str(run)), RECORDED, 4).errors["truncated"]
    found = find(Folder(str(run)), RECORDED, [wanted.image_id, "not there"])
    assert found == {wanted.image_id: wanted}
    assert wanted.error.startswith("truncated: ")
    assert wanted.index == wanted.probability == wanted.synsets == ()
