"""A share of the k-th faults; `python -m tests.faults.harness` lets every operation fail."""

import pytest

from tests.faults.harness import COMMANDS, ON_DISK, ON_S3, Bench
from tests.faults.s3 import s3_bench

_SHARE = 8
"""Faults per action where all are too many."""


QUICK = (
    ("eio", "plan.json"),
    ("kill-after", "groups/000000.json"),
    ("stop", "summary/profile=own/part-0.parquet"),
    ("enospc", "metrics"),
    ("kill", "run.json"),
    ("stop-overwrite", "_SUCCESS"),
)
"""What is done at the operation that makes which name appear."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("faults"))
    if bench.shim is None:
        bench.close()
        pytest.skip("no C compiler for the library that makes operations fail")
    yield bench
    bench.close()


def spread(count: int, share: int, shift: int) -> list[int]:
    """Some of the numbers from 1 to `count`, other ones for every shift."""
    step = max(1, count // share)
    return list(range(1 + shift % step, count + 1, step))


@pytest.mark.timeout(300)
def test_an_evaluation_survives_faults_where_it_declares_something(bench):
    bench.prepare("evaluate")
    for action, name in QUICK:
        outcome = bench.disturb("evaluate", action, 1, only=f"/{name}")
        assert not outcome.wrong, outcome
        assert outcome.operation.endswith(f"/{name}"), outcome


@pytest.mark.timeout(300)
def test_a_run_survives_a_fault_of_each_kind(bench):
    bench.prepare("score")
    count = len(bench.count("score"))
    kinds = ("eio", "kill", "stop", "stop-overwrite")
    for number, action in enumerate(kinds, start=1):
        outcome = bench.disturb("score", action, number * count // (len(kinds) + 1))
        assert not outcome.wrong, outcome


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_survives_its_faults_on_a_disk(bench, command):
    bench.prepare(command)
    count = len(bench.count(command))
    actions = [name for name in ON_DISK if not (command == "cold" and name.startswith("stop"))]
    outcomes = [
        bench.disturb(command, action, at)
        for number, action in enumerate(actions)
        for at in spread(count, _SHARE, 5 * number)
    ]
    assert [outcome for outcome in outcomes if outcome.wrong] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "cold"])
def test_every_command_survives_its_faults_on_s3(tmp_path, command):
    with s3_bench(tmp_path) as bench:
        bench.prepare(command)
        count = len(bench.count(command))
        outcomes = [
            bench.disturb(command, action, at)
            for number, action in enumerate(ON_S3)
            for at in spread(count, _SHARE, 5 * number)
        ]
    assert [outcome for outcome in outcomes if outcome.wrong] == []
