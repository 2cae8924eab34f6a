"""The development kit in its published layout, made with scipy's writer."""

import io
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from vggbatch.errors import UsageError
from vggbatch.labels import load_labels

CLASSES = tuple(f"n{number:08d} class {number}" for number in range(10, 20))
ORDER = [3, 7, 1, 9, 0, 4, 8, 2, 6, 5]
"""Class index of ILSVRC2012_ID 1, 2, ...: not the sorted order, as in the real kit."""
TRUTH = [2, 2, 10, 1, 5]


def meta():
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O"), ("children", "O")]
    rows = [(n, CLASSES[i].split()[0], 0, np.array([])) for n, i in enumerate(ORDER, 1)]
    # inner nodes of WordNet come after the classes, with numbers and children of their own
    rows.append((11, "n00001740", 2, np.array([1, 2])))
    file = io.BytesIO()
    savemat(file, {"synsets": np.array(rows, dtype=kind).reshape(-1, 1)})
    return file.getvalue()


def truth():
    return "".join(f"{number}\n" for number in TRUTH).encode()


@pytest.fixture(params=["archive", "folder", "data"])
def kit(request, tmp_path):
    data = tmp_path / "ILSVRC2012_devkit_t12/data"
    data.mkdir(parents=True)
    (data / "meta.mat").write_bytes(meta())
    (data / "ILSVRC2012_validation_ground_truth.txt").write_bytes(truth())
    if request.param == "data":
        return data
    if request.param == "folder":
        return data.parent
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(data.parent, data.parent.name)
    return tmp_path / "ILSVRC2012_devkit_t12.tar.gz"


def test_ground_truth_becomes_indices_in_sorted_order(kit):
    labels = load_labels(str(kit), CLASSES)
    ids = [f"ILSVRC2012_img_val.tar/ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 7)]
    expected = [ORDER[number - 1] for number in TRUTH]
    assert labels.match(ids, [None] * 6).to_pylist() == [*expected, None]


def test_a_model_of_other_classes_is_refused(kit):
    with pytest.raises(UsageError, match="is no class of this model"):
        load_labels(str(kit), CLASSES[:3])


def test_a_folder_that_is_no_kit_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"meta\.mat and ILSVRC2012_validation"):
        load_labels(str(tmp_path), CLASSES)


def test_a_cut_archive_is_refused(tmp_path):
    (tmp_path / "devkit.tar.gz").write_bytes(b"\x1f\x8b\x08 cut")
    with pytest.raises(UsageError, match="not a readable archive"):
        load_labels(str(tmp_path / "devkit.tar.gz"), CLASSES)
