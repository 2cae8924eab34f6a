from __future__ import annotations

import itertools
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

from tests.support.evaluated import Lookup, evaluate, labeled, lines
from tests.support.outputs import take
from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.errors import UsageError
from vggbatch.metrics import RECORDED, LabelSet, evaluate_predictions
from vggbatch.storage.filesystem import Folder


def test_equals_scikit_learn(run):
    got = evaluate(run, errors="left_out")
    keep = labeled(run) & ~run.failed
    truth = np.array([c for c, k in zip(run.labels, keep, strict=True) if k])
    scores = run.probabilities[keep]
    guess = scores.argmax(1)
    every = np.arange(run.classes)

    found = lines(got)
    assert found["top1"].value == pytest.approx(100 * sk.accuracy_score(truth, guess))
    assert found["top5"].value == pytest.approx(
        100 * sk.top_k_accuracy_score(truth, scores, k=5, labels=every)
    )
    assert found["mean_per_class_top1"].value == pytest.approx(
        100 * sk.balanced_accuracy_score(truth, guess)
    )
    assert found["top1"].n == found["ece"].n == keep.sum()

    precision, recall, f1, support = sk.precision_recall_fscore_support(
        truth, guess, labels=every, zero_division=np.nan
    )
    table = got.results[0].per_class.to_pandas()
    np.testing.assert_allclose(table["precision"], precision)
    np.testing.assert_allclose(table["recall"], recall)
    np.testing.assert_allclose(table["f1"], f1)
    np.testing.assert_array_equal(table["n"], support)
    np.testing.assert_allclose(table["top1"], 100 * recall)

    cells = sk.confusion_matrix(truth, guess, labels=every)
    np.fill_diagonal(cells, 0)
    pairs = got.results[0].confusions.to_pylist()
    assert {(p["label"], p["predicted"]): p["count"] for p in pairs} == {
        (i, j): cells[i, j] for i, j in zip(*np.nonzero(cells), strict=True)
    }
    assert [p["count"] for p in pairs] == sorted((p["count"] for p in pairs), reverse=True)


def test_calibration_equals_a_plain_loop(run):
    got = evaluate(run)
    bins = [[] for _ in range(15)]
    for scores, label, failed in zip(run.probabilities, run.labels, run.failed, strict=True):
        if label is not None and not failed:
            p = float(scores.max())
            bins[min(14, math.ceil(p * 15) - 1)].append((p, scores.argmax() == label))
    total = sum(map(len, bins))
    ece = 0.0
    for row, members in zip(got.results[0].calibration.to_pylist(), bins, strict=True):
        assert row["n"] == len(members)
        if not members:
            assert row["confidence"] is None
            continue
        confidence, accuracy = np.mean(members, axis=0)
        assert row["confidence"] == pytest.approx(confidence, abs=1e-9)
        assert row["accuracy"] == pytest.approx(accuracy)
        ece += len(members) / total * abs(confidence - accuracy)
    assert lines(got)["ece"].value == pytest.approx(ece, abs=1e-9)


def test_rows_with_errors_count_as_wrong_or_not_at_all(run):
    keep = labeled(run)
    right = np.array([s.argmax() == c for s, c in zip(run.probabilities, run.labels, strict=True)])
    right &= ~run.failed
    assert (keep & run.failed).sum() > 5

    wrong = lines(evaluate(run, errors="wrong"))
    left_out = lines(evaluate(run, errors="left_out"))
    assert wrong["top1"].value == pytest.approx(100 * right[keep].mean())
    assert left_out["top1"].value == pytest.approx(100 * right[keep & ~run.failed].mean())
    assert wrong["top1"].n == keep.sum()
    for found in (wrong, left_out):
        assert found["error_rate"].value == pytest.approx(run.failed.mean())
        assert found["error_rate"].n == len(run.ids)
    per_class = evaluate(run, errors="wrong").results[0].per_class.to_pandas()
    assert per_class["n"].sum() == keep.sum()
    assert wrong["mean_per_class_top1"].value == pytest.approx(per_class["top1"].mean())
    assert "could not be scored" in " ".join(evaluate(run).results[0].notes)


# what scikit-learn is given are five of a thousand probabilities
@pytest.mark.filterwarnings("ignore:The y_p.* values do not sum to one:UserWarning")
def test_likelihood_is_bounded_from_five_and_exact_with_the_recorded_sums(run):
    keep = labeled(run) & ~run.failed
    truth = [c for c, k in zip(run.labels, keep, strict=True) if k]
    exact = sk.log_loss(truth, run.probabilities[keep].astype(float), labels=range(run.classes))

    bounded = lines(evaluate(run))
    assert bounded["nll"].value is None
    assert exact - 1 < bounded["nll_at_least"].value <= exact

    nll = -np.log(run.probabilities[np.arange(len(keep)), [c or 0 for c in run.labels]])
    cuts = np.linspace(0, len(keep), 4).astype(int)
    for i, (a, b) in enumerate(itertools.pairwise(cuts)):
        path = Path(run.folder.root, "predictions", f"part-{i:05d}.parquet")
        sums = LabelLikelihood.of(nll[a:b][keep[a:b]])
        pq.write_table(pq.read_table(path).replace_schema_metadata(sums.to_metadata()), path)
    found = lines(evaluate(run))
    assert "nll_at_least" not in found
    assert found["nll"].value == pytest.approx(exact, abs=1e-6)
    half = 1.967 * nll[keep].std(ddof=1) / math.sqrt(keep.sum())  # Student's t of 340 images
    assert found["nll"].ci_high - found["nll"].ci_low == pytest.approx(2 * half, rel=1e-3)

    same = {i: [c] for i, c in zip(run.ids, run.labels, strict=True) if c is not None}
    other = {i: [0] for i in run.ids}
    both = evaluate(run, LabelSet("same", Lookup(same)), LabelSet("other", Lookup(other)))
    assert lines(both, "other")["nll"].value is None


def test_several_accepted_classes_equal_timms_loop(run):
    rng = np.random.default_rng(1)
    real = {
        i: list(map(int, rng.choice(run.classes, rng.integers(0, 4), replace=False)))
        for i in run.ids[:300]
    }
    found = evaluate(run, LabelSet("real", Lookup(real)), errors="left_out")
    correct = {1: [], 5: []}
    for i, scores, failed in zip(run.ids, run.probabilities, run.failed, strict=True):
        if real.get(i) and not failed:
            best = np.argsort(-scores, kind="stable")
            for k in correct:
                correct[k].append(any(p in real[i] for p in best[:k]))
    assert lines(found, "real")["top1"].value == pytest.approx(100 * np.mean(correct[1]))
    assert lines(found, "real")["top5"].value == pytest.approx(100 * np.mean(correct[5]))
    assert lines(found, "real")["top1"].n == len(correct[1]) < 300
    assert lines(found, "real")["nll"].value is None

    truth = np.zeros((len(run.ids), run.classes), int)
    for i, image in enumerate(run.ids):
        truth[i, real.get(image, [])] = 1
    keep = truth.any(1) & ~run.failed
    guess = np.eye(run.classes, dtype=int)[run.probabilities.argmax(1)]
    precision, recall, f1, n = sk.precision_recall_fscore_support(
        truth[keep], guess[keep], zero_division=np.nan
    )
    table = found.results[0].per_class.to_pandas()
    np.testing.assert_allclose(table["precision"], precision)
    np.testing.assert_allclose(table["recall"], recall)
    np.testing.assert_allclose(table["f1"], f1)
    np.testing.assert_array_equal(table["n"], n)


def test_a_subset_of_the_classes_brackets_timms_valid_labels(run):
    subset = tuple(range(0, run.classes, 3))
    found = lines(evaluate(run, LabelSet("subset", classes=subset), errors="left_out"), "subset")
    right = {1: 0, 5: 0}
    n = 0
    for scores, label, failed in zip(run.probabilities, run.labels, run.failed, strict=True):
        if label in subset and not failed:
            n += 1
            best = np.array(subset)[np.argsort(-scores[list(subset)], kind="stable")]
            for k in right:
                right[k] += label in best[:k]
    assert found["top1"].n == n
    assert found["top1"].value <= 100 * right[1] / n <= found["top1_at_most"].value
    assert found["top5"].value <= 100 * right[5] / n <= found["top5_at_most"].value
    assert found["top1_at_most"].value - found["top1"].value < 20
    assert found["ece"].value is None
    assert found["nll"].value is None


def test_a_subset_is_exact_where_the_five_decide(tmp_path: Path, make_run):
    run = make_run(tmp_path / "run", unlabeled=0, failing=0).write()
    wide = tuple(range(2, run.classes))
    found = lines(evaluate(run, LabelSet("wide", classes=wide)), "wide")
    keep = np.array([c in wide for c in run.labels])
    scores = run.probabilities[:, 2:]
    truth = np.array(run.labels) - 2
    assert "top1_at_most" not in found
    assert found["top1"].value == pytest.approx(100 * (scores.argmax(1) == truth)[keep].mean())


def test_files_can_be_scored_by_other_processes_in_any_order(run):
    here = evaluate(run)
    with ProcessPoolExecutor(2) as pool:
        there = evaluate(run, map_fn=lambda f, names: pool.map(f, reversed(list(names))))
    assert there.metrics == here.metrics == evaluate(run, map_fn=map).metrics
    assert there.results[0].confusions.equals(here.results[0].confusions)


def test_published_values_stand_beside_and_are_flagged(run):
    found = lines(evaluate(run))["top1"]
    value, low, high = found.value, found.ci_low, found.ci_high
    benchmark = LabelSet("val", benchmark="ILSVRC2012")
    far = {"ILSVRC2012": {"top1": high + 0.41}}
    for near in (value - 0.5, low - 0.4, high + 0.4):  # within the interval, or by the tolerance
        known = {"ILSVRC2012": {"top1": near, "top5": value}}
        top1 = lines(evaluate(run, benchmark, published=known), "val")["top1"]
        assert top1.published == near
        assert top1.published_delta == pytest.approx(value - near)
        assert not top1.flagged
    found = evaluate(run, benchmark, RECORDED, published=far)
    assert lines(found, "val")["top1"].flagged
    assert lines(found, RECORDED.name)["top1"].published is None
    [note] = [note for note in found.results[0].notes if "from the published" in note]
    assert "outside the 95 % interval by more than 0.4, the zoo's tolerance" in note


def test_writes_the_tables_of_the_contract(run, tmp_path: Path):
    found = evaluate(run, RECORDED, LabelSet("../odd name", Lookup({run.ids[0]: [1]})))
    out = Folder(str(tmp_path / "out"))
    found.write(take(out))
    read = {
        str(p.relative_to(out.root)): pq.ParquetFile(p).read()
        for p in Path(out.root).rglob("*.parquet")
    }
    assert read["metrics/summary/part-0.parquet"].column_names == (
        ["label_set", "metric", "value", "ci_low", "ci_high", "n", "published", "published_delta"]
    )
    assert read["metrics/per_class/label_set=embedded/part-0.parquet"].column_names == (
        [
            *("class_index", "wnid", "name", "n", "top1", "top5", "precision", "recall", "f1"),
            *("top1_low", "top1_high", "top1_low_all", "top1_high_all", "top5_low", "top5_high"),
        ]
    )
    assert read["metrics/confusions/label_set=embedded/part-0.parquet"].column_names == [
        "label",
        "predicted",
        "count",
    ]
    assert (
        read["metrics/per_class/label_set=embedded/part-0.parquet"].to_pylist()[3]["wnid"]
        == "n00000003"
    )
    assert (
        read["metrics/per_class/label_set=embedded/part-0.parquet"].to_pylist()[3]["name"]
        == "class 3, kind"
    )
    assert "metrics/calibration/label_set=..%2Fodd%20name/part-0.parquet" in read
    assert read["metrics/risk_coverage/label_set=embedded/part-0.parquet"].column_names == [
        "coverage",
        "risk",
        "threshold",
    ]
    assert len([name for name in read if "label_audit" not in name]) == 9


def test_no_labels_at_all(tmp_path: Path, make_run):
    run = make_run(tmp_path / "run", unlabeled=1).write()
    found = evaluate(run)
    assert lines(found)["top1"].value is None
    assert lines(found)["top1"].n == 0
    assert lines(found)["error_rate"].value == pytest.approx(run.failed.mean())
    assert "no image has a label in this set" in found.results[0].notes


def test_faults_are_told(run, tmp_path: Path):
    with pytest.raises(UsageError, match="no predictions"):
        evaluate_predictions(Folder(str(tmp_path / "none")), class_lines=["a b"])
    with pytest.raises(UsageError, match="class 20, but the network has classes 0 to 19"):
        evaluate(run, LabelSet("bad", Lookup({run.ids[0]: [20]})))
    with pytest.raises(UsageError, match="different names"):
        evaluate(run, RECORDED, RECORDED)
    part = Path(run.folder.root, "predictions", "part-00000.parquet")
    table = pq.read_table(part)
    pq.write_table(table.replace_schema_metadata(LabelLikelihood(n=1).to_metadata()), part)
    with pytest.raises(UsageError, match="likelihood of 1 labels"):
        evaluate(run)
    pq.write_table(table.drop_columns(["label"]), part)
    with pytest.raises(UsageError, match="no column 'label'"):
        evaluate(run)
    part.write_bytes(b"junk")
    with pytest.raises(UsageError, match="not a Parquet file"):
        evaluate(run)
