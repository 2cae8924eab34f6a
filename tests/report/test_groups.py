import numpy as np

from vggbatch.report.groups import EXAMPLES, Groups, Shown


def test_each_group_keeps_its_best_over_batches():
    rng = np.random.default_rng(0)
    groups, everything = Groups(), {}
    for batch in range(3):
        row = np.arange(200)
        group = rng.integers(0, 9, 200)
        score = rng.random(200)
        groups.add(lambda i, batch=batch: (batch, i), row, group, score)
        for i in range(200):
            everything.setdefault(int(group[i]), []).append((score[i], (batch, i)))
    for number, scored in everything.items():
        best = [one for _, one in sorted(scored, reverse=True)][:EXAMPLES]
        assert groups.examples(number) == best
    assert groups.examples(99) == []


def test_mistakes_come_first_and_only_listed_pairs_are_kept():
    shown = Shown.of_pairs([(2, 5)])
    shown.add(
        lambda row: row,
        row=np.array([0, 1, 2, 3, 3]),
        label=np.array([2, 2, 2, 4, 6]),
        first=np.array([2, 5, 7, 5, 5]),
        right=np.array([True, False, False, False, False]),
        probability=np.array([0.9, 0.5, 0.7, 0.6, 0.6], np.float32),
    )
    assert shown.classes.examples(2) == [2, 1, 0]
    assert shown.classes.examples(4) == shown.classes.examples(6) == [3]
    assert shown.pair(2, 5) == [1]
    assert shown.pair(2, 7) == shown.pair(4, 5) == []
    # an image with two labels is in its bin once
    assert shown.bins.examples(9) == [3]
    assert shown.bins.examples(7) == [1]


def test_nothing_is_nothing():
    shown = Shown.of_pairs([])
    none = np.empty(0, np.int64)
    shown.add(lambda row: row, none, none, none, none.astype(bool), none.astype(np.float32))
    assert not shown.classes.kept
    assert not shown.bins.kept
