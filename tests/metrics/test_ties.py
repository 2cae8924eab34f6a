"""Ties among the probabilities, and what all of them show: beside a plain loop."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.evaluated import Lookup, evaluate, labeled, lines
from vggbatch.chunks.likelihood import LabelLikelihood
from vggbatch.classifier.topk import beyond_five, top_k
from vggbatch.metrics import LabelSet


def coarse(run):
    """The run's probabilities in steps, as those of a network whose output is quantized."""
    steps = np.rint(np.log(run.probabilities) * 1.5) / 1.5
    odds = np.exp(steps)
    run.probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    return run


def record(run) -> None:
    """Write the sums of all probabilities into the files, as a run does."""
    cuts = np.linspace(0, len(run.ids), 4).astype(int)
    wanted = np.array([-1 if label is None else label for label in run.labels], np.int32)
    for i, (a, b) in enumerate(itertools.pairwise(cuts)):
        keep = np.arange(a, b)[~run.failed[a:b]]
        scores, labels = run.probabilities[keep].astype(float), wanted[keep]
        _, listed = top_k(scores, 5)
        own = scores[np.arange(len(keep)), labels]
        nll = np.where(labels < 0, np.nan, -np.log(own))
        sums = LabelLikelihood.of(nll, beyond_five(scores, listed, labels))
        path = Path(run.folder.root, "predictions", f"part-{i:05d}.parquet")
        pq.write_table(pq.read_table(path).replace_schema_metadata(sums.to_metadata()), path)


def test_top1_and_top5_have_bounds_where_places_tie(tmp_path: Path, make_run):
    run = coarse(make_run(tmp_path / "run", failing=0.05)).write(files=3)
    record(run)
    least, most, ties = {1: 0, 5: 0}, {1: 0, 5: 0}, {1: 0, 5: 0}
    keep = labeled(run)
    for scores, label, failed, known in zip(
        run.probabilities, run.labels, run.failed, keep, strict=True
    ):
        if failed:
            continue
        order = np.sort(scores)[::-1]
        for k in (1, 5):
            ties[k] += order[k - 1] == order[k]
            if known:
                above, same = (scores > scores[label]).sum(), (scores == scores[label]).sum()
                least[k] += above + same <= k
                most[k] += above < k
    assert ties[5] > 50
    result = evaluate(run)
    found = lines(result)
    for k in (1, 5):
        n = found[f"top{k}"].n
        assert found[f"top{k}_at_least"].value == pytest.approx(100 * least[k] / n)
        # a label beyond five that all tie is possible: there are none such here
        assert found[f"top{k}_at_most"].value == pytest.approx(100 * most[k] / n)
        low, high = found[f"top{k}_at_least"].value, found[f"top{k}_at_most"].value
        assert low <= found[f"top{k}"].value <= high
    [note] = [note for note in result.results[0].notes if "places" in note]
    assert f"{ties[1]} images whose places 1 and 2" in note
    assert f"{ties[5]} images whose places 5 and 6" in note


def test_without_ties_there_are_no_bounds(run):
    record(run)
    assert not [name for name in lines(evaluate(run)) if "at_" in name]


def test_other_labels_have_no_bounds_of_top5_but_the_count_of_ties(tmp_path: Path, make_run):
    run = coarse(make_run(tmp_path / "run")).write(files=3)
    record(run)
    other = LabelSet("other", Lookup({i: [0] for i in run.ids}))
    result = evaluate(run, other)
    assert "top5_at_most" not in lines(result, "other")
    assert "top1_at_most" in lines(result, "other")
    assert any("places 5 and 6" in note for note in result.results[0].notes)


def test_all_five_tied_leaves_the_first_open():
    scores = np.full((1, 8), 0.125)
    _, listed = top_k(scores, 5)
    found = beyond_five(scores, listed, np.array([7], np.int32))
    assert found.tied.tolist() == [True]
    assert (found.certain.tolist(), found.possible.tolist()) == ([False], [True])


def test_few_classes_tie_with_nobody():
    scores = np.array([[0.25, 0.25, 0.5]])
    _, listed = top_k(scores, 5)
    found = beyond_five(scores, listed, np.array([0], np.int32))
    assert found.tied.tolist() == [False]
    assert found.certain.tolist() == [True]


def test_brier_equals_scikit_learns(run):
    from sklearn.preprocessing import label_binarize

    record(run)
    keep = labeled(run) & ~run.failed
    truth = [label for label, kept in zip(run.labels, keep, strict=True) if kept]
    exact = ((run.probabilities[keep] - label_binarize(truth, classes=range(20))) ** 2).sum(axis=1)
    found = lines(evaluate(run))["brier"]
    assert found.value == pytest.approx(exact.mean(), abs=1e-6)
    half = 1.967 * exact.std(ddof=1) / np.sqrt(len(exact))
    assert found.ci_high - found.ci_low == pytest.approx(2 * half, rel=1e-3)
    other = LabelSet("other", Lookup({i: [0] for i in run.ids}))
    assert lines(evaluate(run, other), "other")["brier"].value is None


def test_every_place_and_both_policies(run):
    keep = labeled(run)
    order = np.argsort(-run.probabilities, axis=1, kind="stable")
    place = np.array(
        [
            99 if label is None or failed else int(np.flatnonzero(row == label)[0])
            for row, label, failed in zip(order, run.labels, run.failed, strict=True)
        ]
    )
    found = lines(evaluate(run))
    for k in range(1, 6):
        assert found[f"top{k}"].value == pytest.approx(100 * (place[keep] < k).mean())
    scored = keep & ~run.failed
    assert found["top1_scored"].value == pytest.approx(100 * (place[scored] < 1).mean())
    assert found["top5_scored"].n == scored.sum()
    left_out = lines(evaluate(run, errors="left_out"))
    assert left_out["top1_all"].value == pytest.approx(found["top1"].value)
    assert left_out["top1"].value == pytest.approx(found["top1_scored"].value)


def test_class_wise_calibration_equals_a_plain_loop(run):
    keep = labeled(run) & ~run.failed
    gaps = np.zeros((20, 15))
    for scores, label in zip(
        run.probabilities[keep], np.array(run.labels, object)[keep], strict=True
    ):
        for c in np.argsort(-scores, kind="stable")[:5]:
            gaps[c, min(14, int(np.ceil(float(scores[c]) * 15)) - 1)] += (c == label) - scores[c]
    exact = np.abs(gaps).sum() / 20 / keep.sum()
    assert lines(evaluate(run))["classwise_ece_top5"].value == pytest.approx(exact, abs=1e-6)


def test_a_label_audit_lists_what_the_set_accepts_and_the_label_does_not(run):
    rng = np.random.default_rng(2)
    real = {i: list(map(int, rng.choice(20, rng.integers(0, 4), replace=False))) for i in run.ids}
    result = evaluate(run, LabelSet("real", Lookup(real)))
    expected, rejected, compared = {}, 0, 0
    for i, scores, label, failed in zip(
        run.ids, run.probabilities, run.labels, run.failed, strict=True
    ):
        if failed or label is None or not real[i]:
            continue
        compared += 1
        rejected += label not in real[i]
        first = int(scores.argmax())
        if first in real[i] and first != label:
            expected[i] = (label, first, label in real[i])
    table = result.results[0].others["label_audit"].to_pylist()
    assert {
        row["image_id"]: (row["label"], row["predicted"], row["label_accepted"]) for row in table
    } == expected
    assert len(expected) > 10
    found = lines(result, "real")
    assert found["label_audit"].value == pytest.approx(100 * len(expected) / compared)
    assert found["label_rejected"].value == pytest.approx(100 * rejected / compared)
    assert any("label_audit" in note for note in result.results[0].notes)
    assert "label_audit" not in evaluate(run).results[0].others
