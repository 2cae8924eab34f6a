"""The whole way on real parts, against a plain loop: every row belongs to its image."""

import json
import tarfile

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.configure import configure
from tests.support.images import cut, jpeg, write_folder
from tests.support.nets import hidden_net
from tests.support.plain_loop import plain_input, plain_scores
from vggbatch import api
from vggbatch.config import Preprocess
from vggbatch.errors import JobFailed
from vggbatch.output.schema import predictions_schema

PROFILE = Preprocess(resize=36, crop=32)
COUNT = 45


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_folder(path, COUNT)
    return path


@pytest.fixture(scope="module")
def expected(net, folder):
    names = sorted(path.name for path in folder.iterdir())
    return names, plain_scores(net, [folder / name for name in names], PROFILE)


@pytest.fixture(scope="module")
def scored(net, folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("scored") / "out"
    api.score(configure(net, output, folder))
    return output


def check(output, expected, prefix=""):
    names, scores = expected
    table = api.load_predictions(str(output))
    assert sorted(table["image_id"].to_pylist()) == [prefix + name for name in names]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    for row in table.to_pylist():
        number = names.index(row["image_id"].removeprefix(prefix))
        assert row["top5_index"] == order[number].tolist()
        np.testing.assert_allclose(
            row["top5_probability"], scores[number][order[number]], atol=1e-5
        )
        assert row["error"] is None


def test_every_row_is_its_images(scored, expected):
    check(scored, expected)
    assert len({tuple(row) for row in expected[1].argsort(axis=1)[:, -5:].tolist()}) == COUNT


def test_the_output_is_as_promised(scored):
    files = list((scored / "predictions").iterdir())
    assert [file.name for file in files] == ["part-000000.parquet"]
    table = pq.read_table(files[0])
    assert table.schema.remove_metadata() == predictions_schema()
    row = table.to_pylist()[0]
    assert row["source"].endswith(row["image_id"])
    assert row["top5_synset"][0].split()[0].startswith("n")
    record = json.loads((scored / "run.json").read_text())
    assert record["counts"] == {
        "images": COUNT,
        "scored": COUNT,
        "errors": 0,
        "errors_by_kind": {},
    }
    [file] = record["files"]
    assert (file["name"], file["rows"]) == ("predictions/part-000000.parquet", COUNT)
    assert file["bytes"] == files[0].stat().st_size
    assert record["preprocess"]["crop"] == 32
    assert (scored / "_SUCCESS").exists()
    assert not (scored / "_vggbatch/staging").exists()


@pytest.mark.parametrize(
    "settings",
    [
        ["compute.actors=1", "chunk_size=1"],
        ["compute.actors=2", "compute.micro_batch=1"],
        ["compute.actors=1", "chunk_size=100", "compute.micro_batch=64"],
        ["compute.pin=false", "compute.threads=2"],
        ["rows_per_file=10"],
    ],
)
def test_the_answer_depends_on_no_setting(net, folder, tmp_path, expected, settings):
    api.score(configure(net, tmp_path / "out", folder, *settings))
    check(tmp_path / "out", expected)


def test_the_rows_are_in_input_order_whatever_happened(scored):
    ids = api.load_predictions(str(scored))["image_id"].to_pylist()
    assert ids == sorted(ids)


def test_a_tar_is_the_folder(net, folder, tmp_path, expected):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    api.score(configure(net, tmp_path / "out", tmp_path / "shard.tar"))
    check(tmp_path / "out", expected, prefix="shard.tar/")


def test_running_again_does_nothing(net, folder, scored):
    before = {path: path.stat().st_mtime_ns for path in scored.rglob("*")}
    again = api.score(configure(net, scored, folder))
    assert again.result.complete_before
    assert again.record["counts"]["images"] == COUNT
    assert {path: path.stat().st_mtime_ns for path in scored.rglob("*")} == before


def test_damaged_images_are_rows(net, tmp_path, expected):
    images = tmp_path / "images"
    write_folder(images, 3)
    (images / "00000a.jpg").write_bytes(b"")
    (images / "00001a.jpg").write_bytes(jpeg(cut(9))[:300])
    (images / "00001b.JPEG").write_bytes(b"no image at all")
    done = api.score(configure(net, tmp_path / "out", images, "chunk_size=2"))
    rows = {row["image_id"]: row for row in api.load_predictions(str(tmp_path / "out")).to_pylist()}
    errors = {name: row["error"] for name, row in rows.items() if row["error"]}
    assert {name: error.split(":")[0] for name, error in errors.items()} == {
        "00000a.jpg": "empty",
        "00001a.jpg": "truncated",
        "00001b.JPEG": "not_image",
    }
    assert all(rows[name]["top5_index"] is None for name in errors)
    order = expected[1].argsort(axis=1)[:, ::-1]
    for number in range(3):
        assert rows[f"{number:05d}.jpg"]["top5_index"] == order[number][:5].tolist()
    assert done.record["counts"]["errors_by_kind"] == {"empty": 1, "not_image": 1, "truncated": 1}
    limited = configure(net, tmp_path / "out2", images, max_error_rate=0.4)
    with pytest.raises(JobFailed, match="3 of 6 images"):
        api.score(limited)
    assert not (tmp_path / "out2/_SUCCESS").exists()
    assert len(api.load_predictions(str(tmp_path / "out2"))) == 6


def test_evaluate_equals_counting(net, folder, tmp_path, expected):
    names, scores = expected
    labels = np.arange(COUNT) % 7
    labels[:20] = scores[:20].argmax(axis=1)
    rows = "".join(f"{name},{label}\n" for name, label in zip(names, labels, strict=True))
    (tmp_path / "labels.csv").write_text("file,class_index\n" + rows)
    done = api.evaluate(
        configure(net, tmp_path / "out", folder, labels=str(tmp_path / "labels.csv"))
    )
    found = {line.metric: line for line in done.evaluation.metrics}
    top1 = scores.argmax(axis=1) == labels
    nll = -np.log(scores[np.arange(COUNT), labels])
    assert found["top1"].value == pytest.approx(100 * top1.mean())
    assert found["nll"].value == pytest.approx(nll.mean(), rel=1e-4)
    stored = api.load_predictions(str(tmp_path / "out"), ["label"])
    assert stored["label"].to_pylist() == labels.tolist()
    assert pq.read_table(tmp_path / "out/metrics/summary").num_rows >= 6


def test_predict_gives_the_same_without_ray(net, folder, expected):
    names, scores = expected
    rows = api.predict(configure(net, "", folder / names[4])).to_pylist()
    assert rows[0]["top5_index"] == scores[4].argsort()[::-1][:5].tolist()


def test_a_model_of_three_classes_leaves_the_rest_null(folder, tmp_path):
    from onnx import TensorProto, helper, save

    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ],
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    opset = [helper.make_opsetid("", 13)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    (tmp_path / "c.txt").write_text("n00000001 red\nn00000002 green\nn00000003 blue\n")
    (tmp_path / "m.yaml").write_text(
        f"classes: {tmp_path}/c.txt\npreprocess: {{resize: 36, crop: 32}}"
    )
    api.score(configure(tmp_path / "m.onnx", tmp_path / "out", folder))
    row = api.load_predictions(str(tmp_path / "out")).to_pylist()[0]
    assert sorted(row["top5_index"][:3]) == [0, 1, 2]
    assert row["top5_index"][3:] == [None, None]
    assert sum(row["top5_probability"][:3]) == pytest.approx(1)


def test_load_predictions_takes_columns(scored):
    table = api.load_predictions(str(scored), ["image_id"])
    assert table.schema.names == ["image_id"]
    assert isinstance(table, pa.Table)


@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 1e-4), ("float16", 4e-3)])
def test_features_lie_beside_the_predictions_of_their_image(kind, tolerance, tmp_path):
    net = hidden_net(tmp_path / "wide.onnx")
    names = write_folder(tmp_path / "images", 11)
    (tmp_path / "images/broken.jpg").write_bytes(b"no image")
    output = tmp_path / "out"
    api.score(configure(net, output, tmp_path / "images", f"features={kind}"))
    (hidden,) = (t for t in onnx.load(net).graph.initializer if t.name == "hidden")
    weights = onnx.numpy_helper.to_array(hidden)
    rows = {row["image_id"]: row for row in api.load_predictions(str(output)).to_pylist()}
    assert rows.keys() == {*names, "broken.jpg"}
    assert rows["broken.jpg"]["features"] is None
    for name in names:
        values = plain_input(tmp_path / "images" / name, PROFILE)
        cells = values.reshape(3, 8, 4, 8, 4).mean(axis=(2, 4)).ravel()
        expected = np.maximum(weights @ cells, 0)
        assert (expected > 0).any()
        np.testing.assert_allclose(rows[name]["features"], expected, atol=tolerance)
