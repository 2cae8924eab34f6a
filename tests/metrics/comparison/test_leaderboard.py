"""Many runs beside the first: against plain counts, scipy's tests and written-out corrections."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binom, binomtest

from vggbatch import api
from vggbatch.cli.comparison_tables import render_leaderboard
from vggbatch.errors import UsageError
from vggbatch.metrics.estimates.intervals import holm


def written_out(p_values):
    """Holm's correction, as his paper has it: step by step, from the smallest."""
    left = dict(enumerate(p_values))
    found, least = [0.0] * len(p_values), 0.0
    while left:
        place = min(left, key=left.get)
        least = max(least, min(1.0, left.pop(place) * (len(left) + 1)))
        found[place] = least
    return found


@pytest.mark.parametrize(
    "p_values",
    [[], [0.3], [0.01, 0.04, 0.03, 0.005], [1.0, 1.0], [0.02, 0.02, 0.9], [0.4, 0.3, 0.2]],
)
def test_holms_correction_is_the_paper_s(p_values):
    assert holm(p_values) == pytest.approx(written_out(p_values))


def test_holm_equals_a_known_table():
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


def noisy(make_run, path, first, amount, count=None):
    run = make_run(path, count or len(first.ids))
    rng = np.random.default_rng(int(amount * 100))
    n = len(run.ids)
    scores = np.exp(np.log(first.probabilities[:n]) + rng.normal(0, amount, (n, first.classes)))
    run.probabilities = (scores / scores.sum(1, keepdims=True)).astype(np.float32)
    run.labels = list(first.labels[:n])
    return run.write()


@pytest.fixture
def classes(tmp_path, make_run):
    file = tmp_path / "classes.txt"
    file.write_text("\n".join(make_run(tmp_path / "x", 1).class_lines) + "\n")
    return str(file)


@pytest.fixture
def runs(tmp_path, make_run):
    first = make_run(tmp_path / "a").write(files=2)
    return [first, *(noisy(make_run, tmp_path / f"b{i}", first, i / 2) for i in (1, 2, 3))]


def right(run):
    best = run.probabilities.argmax(1)
    labels = np.array([-1 if label is None else label for label in run.labels])
    return (best == labels) & ~run.failed


def test_each_run_stands_as_plain_counts_say(runs, classes):
    board = api.leaderboard([run.folder.uri for run in runs], classes=classes)
    keep = np.array([label is not None for label in runs[0].labels])
    exact, mid = [], []
    for run, entry in zip(runs, board.entries, strict=True):
        good, n = right(run)[keep], int(keep.sum())
        interval = binomtest(int(good.sum()), n).proportion_ci(method="wilson")
        assert (entry.n, entry.top1) == (n, pytest.approx(100 * good.mean()))
        assert (entry.ci_low, entry.ci_high) == pytest.approx(
            (100 * interval.low, 100 * interval.high)
        )
        if entry.run == 1:
            assert entry.against is None
            continue
        base, found = right(runs[0])[keep], entry.against
        b, c = int((base & ~good).sum()), int((good & ~base).sum())
        assert (found.only_first, found.only_this) == (b, c)
        assert found.difference == pytest.approx(100 * (good.mean() - base.mean()))
        assert found.ci_low < found.difference < found.ci_high
        exact.append(binomtest(b, b + c).pvalue)
        mid.append(exact[-1] - binom.pmf(min(b, c), b + c, 0.5) if b != c else None)
        assert found.p_value == pytest.approx(exact[-1])
        assert found.mid_p_value == pytest.approx(mid[-1])
    assert [e.against.p_holm for e in board.entries[1:]] == pytest.approx(written_out(exact))
    assert [e.against.mid_p_holm for e in board.entries[1:]] == pytest.approx(written_out(mid))
    assert [entry.top1 for entry in board.ranked] == sorted(
        (e.top1 for e in board.entries), reverse=True
    )
    assert board.same_images


def test_two_outputs_give_what_compare_gives(runs, classes):
    uris = [run.folder.uri for run in runs[:2]]
    board, pair = api.leaderboard(uris, classes=classes), api.compare(*uris, classes=classes)
    top1, found = pair.accuracies[0], board.entries[1].against
    assert (board.entries[0].top1, board.entries[1].top1) == (top1.a, top1.b)
    assert (found.difference, found.p_value, found.p_holm) == (top1.difference,) + (
        top1.p_value,
    ) * 2
    assert found.agreement == pair.agreement


def test_runs_of_other_images_are_compared_on_those_in_both(runs, classes, tmp_path, make_run):
    short = noisy(make_run, tmp_path / "short", runs[0], 0.7, count=300)
    board = api.leaderboard([r.folder.uri for r in (runs[0], runs[1], short)], classes=classes)
    labeled = [sum(label is not None for label in run.labels) for run in (runs[0], short)]
    assert [entry.n for entry in board.entries] == [labeled[0], labeled[0], labeled[1]]
    keep = np.array([label is not None for label in runs[0].labels])
    assert board.entries[0].top1 == pytest.approx(100 * right(runs[0])[keep].mean())
    assert not board.same_images
    assert "different images" in board.notes[-1]


def test_without_labels_the_agreement_is_what_is_known(tmp_path, make_run, classes):
    first = make_run(tmp_path / "a", unlabeled=1).write()
    others = [noisy(make_run, tmp_path / f"b{i}", first, i / 2) for i in (1, 2)]
    board = api.leaderboard([run.folder.uri for run in (first, *others)], classes=classes)
    assert not board.labeled
    both = ~first.failed & ~others[0].failed
    same = first.probabilities.argmax(1) == others[0].probabilities.argmax(1)
    assert board.entries[1].against.agreement == pytest.approx(100 * same[both].mean())
    assert "same first class" in printed(board)


def printed(board):
    out = io.StringIO()
    Console(file=out, width=80).print(render_leaderboard(board))
    return out.getvalue()


def test_it_fits_a_terminal_and_a_page_has_the_same_numbers(runs, classes, tmp_path):
    page = tmp_path / "board.html"
    uris = [run.folder.uri for run in runs]
    board = api.leaderboard(uris, classes=classes, page=str(page))
    text = printed(board)
    assert "…" not in text
    shown = re.sub("<[^>]*>", " ", page.read_text())
    for entry in board.entries:
        for where in (text, shown):
            assert f"{entry.top1:.2f}" in where
            assert entry.output in where.replace("\n", "")
        if entry.against is not None:
            assert f"{entry.against.p_holm:.2g}" in text
            assert f"{entry.against.mid_p_holm:.2g}" in shown
    assert json.loads(json.dumps(board.to_json()))["runs"][1]["against"]["images"] == 400


def test_what_cannot_be_compared_is_refused(runs, classes, tmp_path, make_run):
    first = runs[0].folder.uri
    with pytest.raises(UsageError, match="two outputs or more"):
        api.leaderboard([first], classes=classes)
    with pytest.raises(UsageError, match="named twice"):
        api.leaderboard([first, runs[1].folder.uri, first], classes=classes)
    other = make_run(tmp_path / "other")
    other.ids = [f"{name}.png" for name in other.ids]
    with pytest.raises(UsageError, match="no image in common"):
        api.leaderboard([first, runs[1].folder.uri, other.write().folder.uri], classes=classes)
