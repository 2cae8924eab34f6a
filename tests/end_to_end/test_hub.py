"""Networks and inputs on the Hugging Face Hub, against one of this machine."""

import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.hub import local_hub
from tests.support.images import write_folder
from vggbatch.models import hub

pytest.importorskip("huggingface_hub")

SCRIPT = """
import json, sys
from vggbatch import api
from vggbatch.storage.filesystem import filesystem
net, images, shards, folder = sys.argv[1:]
found = {}
for name, uri in (("images", images), ("shards", shards)):
    scored = api.score(uri, model=net, output=f"{folder}/{name}")
    rows = api.load_predictions(f"{folder}/{name}").to_pylist()
    found[name] = [(row["image_id"], row["label"], row["top5_index"], row["error"]) for row in rows]
    found["model"] = scored.record["model"]["name"]
print(json.dumps(found))
"""
PULL = """
import hashlib, sys
from dataclasses import replace
from vggbatch.models.catalog import catalog
from vggbatch.models.fetch import pull
entry = catalog()["vgg16-12"]
data = b"weights" * 1000
weights = replace(entry.weights, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
print(pull(replace(entry, weights=weights), cache_dir=sys.argv[1], attempts=1).read_bytes() == data)
"""


@pytest.fixture
def pictures(tmp_path):
    names = write_folder(tmp_path / "images", 6)
    return {name: (tmp_path / "images" / name).read_bytes() for name in names}


def shard(pictures):
    """As datasets writes ImageNet: a struct of bytes and path, and a class label."""
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": data, "path": name} for name, data in pictures.items()]
    table = pa.table({"image": pa.array(rows, struct), "label": list(range(len(rows)))})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def run(script, *words, **environ):
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_network_and_its_input_are_read_in_place(net, pictures, tmp_path):
    files = {
        "models/me/net": {
            "onnx/net.onnx": net.read_bytes(),
            "onnx/net.yaml": net.with_suffix(".yaml").read_bytes(),
        },
        "datasets/me/images": {f"data/{name}": data for name, data in pictures.items()},
        "datasets/me/shards": {"data/train-00000-of-00001.parquet": shard(pictures)},
    }
    with local_hub(files) as served:
        done = run(
            *(SCRIPT, "hf://me/net/onnx/net.onnx", "hf://datasets/me/images/data"),
            *("hf://datasets/me/shards", tmp_path),
            HF_ENDPOINT=served.endpoint,
            HF_TOKEN="a-token",
            HF_HOME=str(tmp_path / "hf"),
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["model"] == "hf://me/net/onnx/net.onnx"
    assert [row[0] for row in found["images"]] == sorted(pictures)
    assert [row[3] for row in found["images"] + found["shards"]] == [None] * 12
    assert [row[2] for row in found["images"]] == [row[2] for row in found["shards"]]
    assert served.tokens == {"Bearer a-token"}
    assert "a-token" not in done.stdout + done.stderr


def test_weights_are_pulled_from_the_hub_that_is_set(tmp_path):
    files = {"models/onnxmodelzoo/vgg16-12": {"vgg16-12.onnx": b"weights" * 1000}}
    settings = {"HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "a-token"}
    with local_hub(files) as served:
        done = run(PULL, tmp_path / "cache", HF_ENDPOINT=served.endpoint, **settings)
        assert done.stdout.strip() == "True", done.stderr
        assert served.tokens == {"Bearer a-token"}
        assert any("/resolve/" in request for request in served.requests)
        served.requests.clear()
        offline = run(
            *(PULL, tmp_path / "other"), HF_ENDPOINT=served.endpoint, HF_HUB_OFFLINE="1", **settings
        )
        assert not served.requests
    assert offline.returncode != 0
    assert "nothing is downloaded, for HF_HUB_OFFLINE is set" in offline.stderr


def test_what_is_in_the_hubs_cache_is_taken_from_there(tmp_path):
    repository = tmp_path / "hf/hub/models--onnxmodelzoo--vgg16-12"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)
    (snapshot / "vgg16-12.onnx").write_bytes(b"weights" * 1000)
    done = run(PULL, tmp_path / "cache", HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="1")
    assert done.stdout.strip() == "True", done.stderr


def test_without_its_package_the_endpoint_counts_all_the_same(monkeypatch):
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror/")
    assert hub.addresses("m", "f.onnx") == ["http://mirror/onnxmodelzoo/m/resolve/main/f.onnx"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.addresses("m", "f.onnx") == []
