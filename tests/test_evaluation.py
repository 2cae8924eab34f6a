"""Evaluations, the whole way on real parts: label sets, error policies, against plain counting."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.images import write_folder
from tests.plain_loop import plain_scores
from vggbatch import api
from vggbatch.config import Preprocess, load_config
from vggbatch.errors import UsageError
from vggbatch.metrics.rescore import open_source, rescore
from vggbatch.storage import Folder

PROFILE = Preprocess(resize=36, crop=32)
COUNT = 20

pytestmark = pytest.mark.usefixtures("ray_cluster")


def configure(net, output, inputs, *settings, **options):
    values = {"input": (str(inputs),), "model": str(net), "output": str(output), **options}
    return load_config(options=values, settings=("chunk_size=8", *settings), environ={})


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
    rows = pq.read_table(output / "metrics/summary.parquet").to_pylist()
    [row] = [r for r in rows if (r["label_set"], r["metric"]) == (label_set, metric)]
    return row


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
