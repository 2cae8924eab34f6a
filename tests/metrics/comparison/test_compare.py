from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

from vggbatch.errors import UsageError
from vggbatch.metrics.comparison.compare import Comparison, compare_runs, write_differences


def noisy_copy(make_run, path: Path, a, amount: float = 0.6):
    """The same images with disturbed scores, as another precision of a network gives."""
    b = make_run(path, len(a.ids))
    rng = np.random.default_rng(9)
    scores = np.exp(np.log(a.probabilities) + rng.normal(0, amount, a.probabilities.shape))
    b.probabilities = (scores / scores.sum(1, keepdims=True)).astype(np.float32)
    b.failed = rng.random(len(a.ids)) < 0.05
    return b


@pytest.fixture
def pair(tmp_path: Path, make_run):
    a = make_run(tmp_path / "a").write(files=2)
    return a, noisy_copy(make_run, tmp_path / "b", a).write(files=3)


def compare(a, b, **options) -> Comparison:
    return compare_runs(a.folder, b.folder, class_lines=a.class_lines, **options)


def right(run, k: int) -> np.ndarray:
    best = np.argsort(-run.probabilities, axis=1, kind="stable")[:, :k]
    found = [label in top for label, top in zip(run.labels, best, strict=True)]
    return np.array(found) & ~run.failed


@pytest.mark.parametrize("errors", ["wrong", "left_out"])
def test_paired_accuracies_equal_a_plain_count(pair, errors):
    a, b = pair
    found = compare(a, b, errors=errors)
    keep = np.array([label is not None for label in a.labels])
    if errors == "left_out":
        keep &= ~a.failed & ~b.failed
    assert found.labeled == keep.sum()
    for line, k in zip(found.accuracies, (1, 5), strict=True):
        x, y = right(a, k)[keep], right(b, k)[keep]
        assert line.metric == f"top{k}"
        assert (line.a, line.b) == pytest.approx((100 * x.mean(), 100 * y.mean()))
        assert line.difference == pytest.approx(100 * (y.mean() - x.mean()))
        assert (line.only_a, line.only_b) == ((x & ~y).sum(), (y & ~x).sum())
        parts = line.only_a + line.only_b
        assert line.p_value == pytest.approx(binomtest(line.only_a, parts).pvalue)
        assert line.ci_low < line.difference < line.ci_high
    assert found.accuracies[0].only_a > 10


def test_agreement_needs_no_labels(tmp_path: Path, make_run):
    a = make_run(tmp_path / "a", unlabeled=1).write()
    b = noisy_copy(make_run, tmp_path / "b", a)
    b.labels = [None] * len(b.ids)
    found = compare(a, b.write())
    both = ~a.failed & ~b.failed
    same = a.probabilities.argmax(1) == b.probabilities.argmax(1)
    gap = np.abs(a.probabilities.astype(float) - b.probabilities).max(1)[both]
    assert found.accuracies == []
    assert found.movers.num_rows == 0
    assert found.scored == both.sum()
    assert found.agreement == pytest.approx(100 * same[both].mean())
    assert found.mean_largest_difference == pytest.approx(gap.mean(), rel=0.05)
    assert found.mean_largest_difference <= gap.mean() + 1e-9
    assert found.largest_difference == pytest.approx(gap.max(), rel=0.01)
    assert (found.failed_a, found.failed_b, found.failed_both) == (
        (a.failed & ~b.failed).sum(),
        (b.failed & ~a.failed).sum(),
        (a.failed & b.failed).sum(),
    )


def test_a_run_equals_itself(run):
    found = compare(run, run)
    assert found.agreement == 100
    assert found.largest_difference == 0
    assert [line.difference for line in found.accuracies] == [0, 0]
    assert [line.p_value for line in found.accuracies] == [1, 1]
    assert found.differences.num_rows == found.movers.num_rows == 0


def test_lists_the_images_where_the_runs_part(pair):
    a, b = pair
    first_a = np.where(a.failed, -1, a.probabilities.argmax(1))
    first_b = np.where(b.failed, -1, b.probabilities.argmax(1))
    rows = {row["image_id"]: row for row in compare(a, b).differences.to_pylist()}
    assert list(rows) == [a.ids[i] for i in np.flatnonzero(first_a != first_b)]
    for i in np.flatnonzero(first_a != first_b):
        row = rows[a.ids[i]]
        assert row["label"] == a.labels[i]
        assert row["index_a"] == (None if a.failed[i] else first_a[i])
        assert row["index_b"] == (None if b.failed[i] else first_b[i])
        if not b.failed[i]:
            assert row["probability_b"] == b.probabilities[i].max()
        if a.labels[i] is None:
            assert row["right_a"] is None
        else:
            assert row["right_a"] == (first_a[i] == a.labels[i])


def test_movers_equal_a_plain_count(pair):
    a, b = pair
    labels = np.array([-1 if label is None else label for label in a.labels])
    x, y = right(a, 1), right(b, 1)
    expected = {
        c: (100 * x[labels == c].mean(), 100 * y[labels == c].mean())
        for c in range(a.classes)
        if x[labels == c].sum() != y[labels == c].sum()
    }
    rows = compare(a, b).movers.to_pylist()
    assert {row["class_index"]: (row["top1_a"], row["top1_b"]) for row in rows} == {
        c: pytest.approx(pair) for c, pair in expected.items()
    }
    sizes = [abs(row["difference"]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert rows[0]["name"] == f"class {rows[0]['class_index']}, kind"


def test_other_labels_and_other_networks_are_told(pair):
    a, b = pair
    b.labels = [None if label is None else (label + 1) % 20 for label in a.labels]
    b.write(files=3)
    assert compare(a, b).label_conflicts == sum(label is not None for label in a.labels)
    b.labels = [None] * len(b.labels)
    b.write(files=3)
    comparison = compare(a, b)
    assert comparison.label_conflicts == 0
    # whichever of the two has the labels
    assert compare(b, a).labeled == comparison.labeled == compare(a, a).labeled > 0
    with pytest.raises(UsageError, match="network has 5 classes"):
        compare_runs(a.folder, b.folder, class_lines=a.class_lines[:5])


def test_is_json(pair):
    text = json.dumps(compare(*pair).to_json())
    assert json.loads(text)["accuracies"][0]["metric"] == "top1"


def test_writes_the_images_that_differ(pair, tmp_path: Path):
    found = compare(*pair)
    write_differences(found, str(tmp_path / "new" / "parted.parquet"))
    assert pq.read_table(tmp_path / "new" / "parted.parquet").equals(found.differences)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_differences(found, str(tmp_path / "file" / "x.parquet"))
