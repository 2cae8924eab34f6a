import http.server
import os
import pickle
import threading
from contextlib import contextmanager
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.models import numpy_onnx
from vggbatch.config import ModelOptions
from vggbatch.errors import UsageError
from vggbatch.models.cache import sha256_of
from vggbatch.models.local_files import localise, read_blocks, sibling
from vggbatch.models.preparation.prepare import prepare
from vggbatch.models.resolve import resolve
from vggbatch.models.synthesis import synthesize
from vggbatch.uris import base_name

pytestmark = pytest.mark.usefixtures("built_here")

EXTERNAL = {"save_as_external_data": True, "size_threshold": 0}


@pytest.fixture(scope="module")
def synthetic():
    return synthesize("vgg16-12", shrink=64, size=32)


@pytest.fixture
def folder(synthetic, tmp_path):
    """A network in two files with a description."""
    path = tmp_path / "nets"
    path.mkdir()
    copy = onnx.ModelProto.FromString(synthetic.SerializeToString())
    onnx.save(copy, path / "net.onnx", location="net.onnx.data", **EXTERNAL)
    (path / "net.yaml").write_text("preprocess: {resize: 32, crop: 32}\nclasses: names.txt\n")
    (path / "names.txt").write_text("".join(f"n{i:08} thing\n" for i in range(1000)))
    return path


@contextmanager
def http_server(folder):
    """Serves a folder; the paths that were read."""
    read = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            read.append(self.path)
            super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", read
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def scores(model, cache):
    prepared = prepare(model, cache_dir=str(cache))
    images = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(prepared.path, options)
    return images, session.run(None, {prepared.input: images})[0]


def check(model, synthetic, cache):
    images, found = scores(model, cache)
    expected = np.concatenate([numpy_onnx.run(synthetic, image[None]) for image in images])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_weights_beside_the_graph_are_part_of_the_model(synthetic, folder, tmp_path):
    model = resolve(ModelOptions(name=str(folder / "net.onnx")))
    assert [file.name for file in model.files] == ["net.onnx", "net.onnx.data"]
    check(model, synthetic, tmp_path / "cache")
    with (folder / "net.onnx.data").open("r+b") as file:
        file.write(b"other")
    assert resolve(ModelOptions(name=str(folder / "net.onnx"))).sha256 != model.sha256


def test_a_uri_is_read_with_all_that_lies_beside_it(synthetic, folder, tmp_path):
    with http_server(folder) as (address, _):
        uri = f"{address}/net.onnx?token=secret"
        model = resolve(ModelOptions(name=uri), cache_dir=str(tmp_path / "driver"))
        assert model.uri == uri
        assert model.name == f"{address}/net.onnx"
        assert model.classes[3] == "n00000003 thing"
        assert model.sha256 == resolve(ModelOptions(name=str(folder / "net.onnx"))).sha256
        node = pickle.loads(pickle.dumps(model))
        check(node, synthetic, tmp_path / "node")
    prepared = next((tmp_path / "node/prepared").glob("net-*/model.onnx"))
    assert "secret" not in str(prepared)


def test_a_uri_that_gives_no_version_is_read_each_time(folder, tmp_path):
    options = {"cache_dir": str(tmp_path / "cache")}
    with http_server(folder) as (address, read):
        first = localise(f"{address}/net.onnx", **options)
        again = localise(f"{address}/net.onnx", **options)
        # this server gives no ETag, so nothing says that the file is the same
        assert [path for path in read if path == "/net.onnx.data"] == ["/net.onnx.data"] * 2
    assert first == again
    assert first.graph.is_relative_to(tmp_path / "cache")


def test_a_bucket_is_read_again_only_when_it_has_changed(synthetic, folder, tmp_path, s3_server):
    import s3fs

    store = s3fs.S3FileSystem()
    store.mkdir("model-files")
    for path in folder.iterdir():
        store.put_file(str(path), f"model-files/{path.name}")
    options = ModelOptions(name="s3://model-files/net.onnx")
    model = resolve(options, cache_dir=str(tmp_path / "cache"))
    check(model, synthetic, tmp_path / "node")
    kept = next((tmp_path / "cache").rglob("net.onnx.data"))
    changed = kept.stat().st_mtime_ns
    assert resolve(options, cache_dir=str(tmp_path / "cache")) == model
    assert kept.stat().st_mtime_ns == changed
    with (folder / "net.onnx.data").open("r+b") as file:
        file.write(b"other")
    store.put_file(str(folder / "net.onnx.data"), "model-files/net.onnx.data")
    assert resolve(options, cache_dir=str(tmp_path / "cache")).sha256 != model.sha256


def test_the_same_file_under_two_names_is_kept_twice(synthetic, tmp_path):
    (tmp_path / "nets").mkdir()
    onnx.save(synthetic, tmp_path / "nets/a.onnx")
    onnx.save(synthetic, tmp_path / "nets/b.onnx")
    with http_server(tmp_path / "nets") as (address, _):
        found = [
            localise(f"{address}/{name}.onnx", cache_dir=str(tmp_path / "cache")) for name in "ab"
        ]
    assert [local.graph.name for local in found] == ["a.onnx", "b.onnx"]
    assert {local.sha256 for local in found} == {sha256_of(local.graph) for local in found}
    assert not list((tmp_path / "cache/weights").glob(".incoming*"))


def test_a_web_server_needs_no_ranges(tmp_path):
    data = os.urandom(20 * 2**20)
    (tmp_path / "large").write_bytes(data)
    with http_server(tmp_path) as (address, _):
        assert b"".join(read_blocks(f"{address}/large")) == data


def test_what_is_not_there_is_one_line(folder, tmp_path):
    cache = str(tmp_path / "cache")
    with http_server(folder) as (address, _):
        with pytest.raises(UsageError, match=r"no model file http://.*/none.onnx$"):
            localise(f"{address}/none.onnx?token=secret", cache)
        (folder / "bad.onnx").write_bytes(b"not a protobuf")
        with pytest.raises(UsageError, match=r"bad.onnx is no ONNX file"):
            localise(f"{address}/bad.onnx", cache)
    with pytest.raises(UsageError, match="cannot read http"):
        localise(f"{address}/net.onnx", cache)
    (folder / "net.onnx.data").unlink()
    with pytest.raises(UsageError, match=r"keeps its weights in .*net.onnx.data, not there"):
        localise(str(folder / "net.onnx"), cache)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (".", "cannot be read"),
        ("folder", "cannot be read"),
        ("pipe", "a named pipe, not a regular file"),
        ("sparse", "more than 64 GiB"),
        ("x" * 300, "cannot be read"),
        ("a\0b", "cannot be read"),
        ("none", "not there"),
    ],
)
def test_weights_that_are_no_file_are_one_line(location, words, tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 2**36 + 1)  # takes no place on the disk
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match=words):
        localise(str(tmp_path / "net.onnx"), None)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd"])
def test_weights_outside_the_folder_are_refused(location, tmp_path):
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    graph = helper.make_graph([], "g", [], [], [tensor])
    (tmp_path / "net.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(UsageError, match="outside its folder"):
        localise(str(tmp_path / "net.onnx"), None)


def test_siblings_keep_the_query_and_names_lose_it():
    assert sibling("https://h/a/net.onnx?sas=1", "net.yaml") == "https://h/a/net.yaml?sas=1"
    assert sibling("s3://b/net.onnx", "x/y") == "s3://b/x/y"
    assert sibling("net.onnx", "net.yaml") == "net.yaml"
    assert base_name("https://h/a/net.onnx?sas=1") == "net.onnx"


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "a/../../secret"])
@pytest.mark.parametrize("place", ["constant", "branch", "function", "sparse"])
def test_weights_outside_are_refused_wherever_they_stand(tmp_path, location, place):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    node = helper.make_node("Constant", [], ["c"], value=tensor)
    model = helper.make_model(helper.make_graph([], "g", [], []))
    if place == "constant":
        model.graph.node.append(node)
    elif place == "branch":
        inner = helper.make_graph([node], "then", [], [])
        model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner))
    elif place == "function":
        model.functions.add(name="f", domain="d").node.append(node)
    else:
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match="keeps weights outside its folder"):
        localise(str(tmp_path / "net.onnx"), None)


def test_a_network_on_the_web_names_no_class_list_of_this_machine(folder, tmp_path, monkeypatch):
    (tmp_path / "secret.txt").write_text("secret\n" * 1000)
    monkeypatch.setenv("VGGBATCH_CACHE_DIR", str(tmp_path / "cache"))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(handler.func, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    options = ModelOptions(name=f"http://127.0.0.1:{server.server_port}/net.onnx")
    assert resolve(options).classes[0] == "n00000000 thing"
    for named in (f"{tmp_path}/secret.txt", f"file://{tmp_path}/secret.txt"):
        (folder / "net.yaml").write_text(f"classes: {named}\n")
        with pytest.raises(UsageError, match="a file of this machine, named by http://"):
            resolve(options)
    for named in ("reference://x::http://h/r.json", "../../../names.txt", "hdfs://h/x"):
        (folder / "net.yaml").write_text(f"classes: {named}\n")
        if named.startswith(".."):
            assert resolve(options).classes[0] == "n00000000 thing"
        else:
            with pytest.raises(UsageError, match="is not opened"):
                resolve(options)
    server.shutdown()
    server.server_close()
