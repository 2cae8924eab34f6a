import hashlib
from pathlib import Path

from vggbatch.models.catalog import catalog, synset
from vggbatch.preprocess.profiles import PROFILES

ROOT = Path(__file__).parents[2]


def test_twelve_files_with_checksums_and_profiles():
    entries = catalog()
    assert len(entries) == 12
    for name, entry in entries.items():
        assert entry.weights.file == f"{name}.onnx"
        assert len(entry.weights.sha256) == len(entry.test_data.sha256) == 64
        assert entry.layers == int(name[3:5])
        assert entry.opset == int(name.removesuffix("-int8").removesuffix("-qdq").split("-")[-1])
        caffe2 = "caffe2" in name
        exported = "intel256" if name.startswith("vgg16-12") else "gluon256"
        assert entry.preprocess == ("caffe2" if caffe2 else exported)
        assert ("inferred" in entry.preprocess_source) == caffe2
        assert {entry.preprocess, *entry.plausible} <= set(PROFILES)
        assert entry.preprocess not in entry.plausible
        assert entry.output_kind == ("probabilities" if caffe2 else "logits")
    assert entries["vgg16-12"].published == {"top1": 72.38, "top5": 91.0}
    assert entries["vgg16-7"].weights.sha256.startswith("f20805a3ecccaa88")
    assert len({entry.weights.sha256 for entry in entries.values()}) == 12


def test_synset_is_the_zoos():
    digest = "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355"
    root = ROOT / "synset.txt"
    assert hashlib.sha256(root.read_bytes()).hexdigest() == digest
    assert synset() == tuple(root.read_text().splitlines())
    assert synset()[0] == "n01440764 tench, Tinca tinca"
    assert list(synset()) == sorted(synset())
    assert len(synset()) == 1000
