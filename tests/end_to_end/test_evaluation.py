"""Evaluations, the whole way on real parts: label sets, error policies, against plain counting."""

import json
import re

import cv2
import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.support.configure import configure
from tests.support.here import Here
from tests.support.images import write_folder
from tests.support.nets import color_net
from tests.support.plain_loop import plain_protocol, plain_scores
from vggbatch import api
from vggbatch.cli import app
from vggbatch.config import Preprocess
from vggbatch.errors import UsageError
from vggbatch.metrics.comparison.compare import compare_runs
from vggbatch.metrics.rescore import open_source, rescore
from vggbatch.models.catalog import synset
from vggbatch.report import write_report
from vggbatch.storage.filesystem import Folder

PROFILE = Preprocess(resize=36, crop=32)
COUNT = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images named as the validation set's, one of them damaged."""
    path = tmp_path_factory.mktemp("images")
    write_folder(path, COUNT)
    for number in range(COUNT):
        (path / f"{number:05d}.jpg").rename(path / f"ILSVRC2012_val_{number + 1:08d}.JPEG")
    (path / f"ILSVRC2012_val_{COUNT + 1:08d}.JPEG").write_bytes(b"damaged")
    return path


@pytest.fixture(scope="module")
def scores(net, folder):
    images = sorted(folder.iterdir())[:COUNT]
    return plain_scores(net, images, PROFILE)


def summary(output, label_set, metric="top1"):
    rows = pq.read_table(output / "metrics/summary").to_pylist()
    rows = [row for row in rows if row.get("profile", "zoo") == "zoo"]
    [row] = [r for r in rows if (r["label_set"], r["metric"]) == (label_set, metric)]
    return row


def rows(output):
    table = api.load_predictions(str(output)).sort_by("image_id")
    return table.drop_columns(["source"]).to_pylist()


PROFILES = {
    "zoo": {"resize": 36, "crop": 32},
    "squash": {
        "resize": 36,
        "crop": 32,
        "resize_mode": "squash",
        "resizer": "opencv",
        "pixels": "float32",
    },
    "values": {"resize": 36, "crop": 32, "scale": 200.0},
}


def runs_of_their_own(net, folder, tmp_path, labels):
    """The output of each profile alone, and its metrics."""
    for name, parts in PROFILES.items():
        alone = tmp_path / f"alone-{name}"
        config = configure(net, alone, folder, labels=labels, profiles={name: parts})
        yield name, parts, alone, api.evaluate(config, executor=Here()).evaluation


def check_profiles(runs, output, labels):
    """Every profile's output is that of a run of its own."""
    for number, (name, parts, alone, expected) in enumerate(runs):
        found = output / "profiles" / name if number else output
        assert rows(found) == rows(alone)
        for table in ("summary", "per_class", "confusions", "calibration"):
            path = f"metrics/{table}"
            own = pq.read_table(found / path)
            if not number:  # those of all profiles, as partitions
                chosen = pa.compute.equal(own["profile"].cast("string"), name)
                own = own.filter(chosen).drop_columns(["profile"])
            assert own.equals(pq.read_table(alone / path))
        assert (found / "_SUCCESS").exists()
        record = api.load_run(str(found))
        assert record["preprocess"].items() >= parts.items()
        assert record["counts"] == api.load_run(str(alone))["counts"]
        again = rescore(open_source(Folder(str(found))), labels)
        assert [m.value for m in again.metrics][:3] == [m.value for m in expected.metrics][:3]


def check_pages(output):
    """The page about the run has all profiles, that about a profile has its own pictures."""
    for folder, several in ((output, True), (output / "profiles/squash", False)):
        write_report(Folder(str(folder)), gallery=4)
        page = (folder / "report.html").read_text()
        assert ("Preprocessing profiles" in page) == several
        assert page.count("data:image/webp") >= 4
        if several:
            assert all(f'<th scope="row">{name}</th>' in page for name in PROFILES)


def test_the_plan_and_the_summary_say_what_is_averaged(net, folder, tmp_path):
    """On the terminal."""
    words = [str(folder), "-m", str(net), "-m", str(net), "-o", str(tmp_path / "out")]
    words += ["--labels", f"first={tmp_path}/v.csv", "--protocol", "ten", "--scales", "34,40"]
    words += ["--set", "profiles={a: {resize: 36, crop: 32}, b: {resize: 40, crop: 32}}"]
    words += ["--errors", "left_out", "--set", "chunk_size=8"]
    lines = [f"ILSVRC2012_val_{i + 1:08d},{i * 31 % 1000}" for i in range(COUNT + 1)]
    (tmp_path / "v.csv").write_text("\n".join(["file,class_index", *lines]))
    plan = CliRunner().invoke(app, ["plan", *words], env={"COLUMNS": "200"})
    assert plan.exit_code == 0, plan.output
    assert "20 views an image: ten at 34, 40, mirrored too" in plan.output
    assert plan.output.count(str(net)) == 2
    for name in ("a: shorter side 36", "b: shorter side 40"):
        assert name in plan.output
    done = CliRunner().invoke(app, ["evaluate", *words], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    rows = re.findall(r"^([ab]) +(top\d) % .* (\d+) *$", done.output, re.MULTILINE)
    assert rows == [(p, m, str(COUNT)) for p in "ab" for m in ("top1", "top5")]
    assert "first, b: 1 labeled image that could not be scored: left out" in done.output


def test_profiles_in_one_pass_are_runs_of_their_own(net, folder, tmp_path):
    names = [f"ILSVRC2012_val_{i + 1:08d},{i * 31 % 1000}" for i in range(COUNT)]
    (tmp_path / "v.csv").write_text("\n".join(["file,class_index", *names]))
    labels = (str(tmp_path / "v.csv"),)
    output = tmp_path / "out"
    config = configure(net, output, folder, labels=labels, profiles=PROFILES)

    def stop(snapshot):
        if snapshot.rows:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.evaluate(config, on_progress=stop)
    assert not (output / "_SUCCESS").exists()
    safe = api.status(str(output)).rows
    assert safe > 0
    done = api.evaluate(config)
    # less where a chunk that was on its way at the interrupt was still committed by its task
    assert done.result.scored_now <= done.result.rows - safe
    assert list(done.evaluations) == list(PROFILES)
    assert len({evaluation.metrics[3].value for evaluation in done.evaluations.values()}) == 3
    runs = list(runs_of_their_own(net, folder, tmp_path, labels))
    check_profiles(runs, output, labels)
    assert api.evaluate(config).result.complete_before
    # what a profile lost is scored again, and only the rows of the state say what is there
    (output / "_SUCCESS").unlink()
    for path in (output / "profiles/squash/predictions").iterdir():
        path.unlink()
    assert api.evaluate(config).result.scored_now == COUNT + 1
    check_profiles(runs, output, labels)
    check_pages(output)
    result = compare_runs(
        Folder(str(output)), Folder(str(output / "profiles/squash")), class_lines=synset()
    )
    assert result.images == COUNT + 1
    other = configure(net, output, folder, labels=labels)
    with pytest.raises(UsageError, match="profiles"):
        api.evaluate(other)


def test_float_pixels_reach_the_network(net, folder):
    """As cv2 resizes the float image."""
    parts = PROFILES["squash"]
    image = folder / "ILSVRC2012_val_00000002.JPEG"
    [row] = api.predict(str(image), model={"name": str(net), "preprocess": parts}).to_pylist()
    pixels = np.asarray(Image.open(image).convert("RGB"), np.float32)
    crop = cv2.resize(pixels, (36, 36))[2:34, 2:34] / 255
    values = (crop - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    session = ort.InferenceSession(net, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"data": values.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
    exp = np.exp(logits.astype(np.float64) - logits.max())
    expected = np.sort(exp / exp.sum())[::-1][:5]
    assert row["top5_index"] == np.argsort(-logits, kind="stable")[:5].tolist()
    np.testing.assert_allclose(row["top5_probability"], expected, atol=1e-5)


def test_all_plausible_profiles_of_a_zoo_model(folder, tmp_path):
    found = api.plan(str(folder), output=str(tmp_path), model="vgg16-7@synthetic", profiles="all")
    names = ["gluon256", "gluoncv", "intel256", "zoo", "mxnet224"]
    assert [recipe.name for recipe in found.job.recipes] == names
    assert list(found.job.config.profiles) == names
    options = {"model": "vgg16-7@synthetic", "profiles": "zoo,all"}
    found = api.plan(str(folder), output=str(tmp_path), **options)
    assert [recipe.name for recipe in found.job.recipes][:2] == ["zoo", "gluon256"]


def test_an_ensemble_under_a_protocol_equals_the_plain_loop(net, folder, tmp_path):
    second = color_net(tmp_path / "second.onnx", seed=1)
    protocol = {"views": "grid+dense", "scales": (34, 40)}
    config = configure(net, tmp_path / "out", folder, ensemble=(str(second),), protocol=protocol)
    done = api.score(config)
    images = sorted(folder.iterdir())[:COUNT]
    expected = np.mean(
        [
            [plain_protocol(model, p, PROFILE, "grid+dense", (34, 40), 4) for p in images]
            for model in (net, second)
        ],
        axis=0,
    )
    order = np.argsort(-expected, axis=1, kind="stable")[:, :5]
    found = rows(tmp_path / "out")
    for number, row in enumerate(found[:COUNT]):
        assert row["top5_index"] == order[number].tolist()
        best = expected[number][order[number]]
        np.testing.assert_allclose(row["top5_probability"], best, atol=1e-5)
    assert found[COUNT]["error"].startswith("not_image")
    assert done.record["protocol"] == {
        "views": "grid+dense",
        "scales": [34, 40],
        "flip": True,
        "views_an_image": 104,
    }
    assert [facts["name"] for facts in done.record["ensemble"]] == [str(second)]
    [one] = api.predict(config.model_copy(update={"input": (str(images[3]),)})).to_pylist()
    assert one["top5_index"] == order[3].tolist()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"protocol": {"scales": (20,)}}, "scale 20 is smaller than the 32 pixels"),
        ({"profiles": "zoo,squash"}, r"model\.preprocess\.crop=32"),
        ({"profiles": ("zou",)}, "did you mean 'zoo'"),
        ({"profiles": "all"}, "for one network of the zoo.*gluon256"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(net, folder, tmp_path, options, fault):
    with pytest.raises(UsageError, match=fault):
        api.plan(configure(net, tmp_path / "out", folder, **options))


def test_networks_of_other_classes_make_no_ensemble(net, folder, tmp_path):
    other = color_net(tmp_path / "other.onnx")
    (tmp_path / "classes.txt").write_text("\n".join(f"n{i:08d} class {i}" for i in range(1000)))
    text = other.with_suffix(".yaml").read_text()
    other.with_suffix(".yaml").write_text(f"{text}\nclasses: classes.txt\n")
    with pytest.raises(UsageError, match="other classes"):
        api.plan(configure(net, tmp_path / "out", folder, ensemble=(str(other),)))


def test_several_label_sets_and_a_policy(net, folder, scores, tmp_path):
    best = scores.argmax(axis=1)
    single = np.where(np.arange(COUNT) % 3 == 0, (best + 1) % 1000, best)
    names = [f"ILSVRC2012_val_{i + 1:08d}" for i in range(COUNT + 1)]
    lines = [f"{n},{c}" for n, c in zip(names, [*single, 5], strict=True)]
    (tmp_path / "v.csv").write_text("\n".join(["file,class_index", *lines]))
    several = [[int(best[i]), int((best[i] + 7) % 1000)] if i % 4 else [] for i in range(COUNT)]
    (tmp_path / "real.json").write_text(json.dumps([*several, [1]]))
    labels = (f"ReaL={tmp_path}/real.json", f"{tmp_path}/v.csv", f"again={tmp_path}/v.csv")
    outputs = {}
    for errors in ("wrong", "left_out"):
        output = outputs[errors] = tmp_path / errors
        done = api.evaluate(configure(net, output, folder, labels=labels, errors=errors))
        rows = api.load_predictions(str(output), ["label"])["label"].to_pylist()
        assert rows == [*single.tolist(), 5]
        n = COUNT + (errors == "wrong")
        right = (best == single).sum()
        for name in ("ILSVRC2012", "again"):
            line = summary(output, name)
            assert line["value"] == pytest.approx(100 * right / n)
            assert line["n"] == n
        known = sum(map(bool, several))
        assert summary(output, "ReaL")["value"] == pytest.approx(
            100 * known / (known + (errors == "wrong"))
        )
        # in the rows: exact though a label is not among the five; from a file: only bounded
        assert summary(output, "ILSVRC2012", "nll")["value"] == pytest.approx(
            -np.log(scores[np.arange(COUNT), single]).mean(), rel=1e-4
        )
        again = rescore(open_source(Folder(str(output))), labels, errors=errors)
        assert [(m.metric, m.value) for m in again.metrics if m.label_set == "ReaL"] == [
            (m.metric, m.value) for m in done.evaluation.metrics if m.label_set == "ReaL"
        ]
    with pytest.raises(UsageError, match="errors: 'left_out' -> 'wrong'"):
        api.evaluate(configure(net, outputs["left_out"], folder, labels=labels))


def test_faults_in_any_label_set_show_before_the_run(net, folder, tmp_path):
    for spec, fault in (("x=gone.csv", "gone.csv"), ("embedded@imagenet-x", "imagenet-x")):
        with pytest.raises(UsageError, match=fault):
            api.evaluate(configure(net, tmp_path / "out", folder, labels=("embedded", spec)))
    assert not (tmp_path / "out").exists()
