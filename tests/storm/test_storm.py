"""Exactly once, whatever dies."""

import pytest

from tests.storm.finish import FinishStorm
from tests.storm.storm import Storm
from tests.support.stores.s3 import bucket


def check(result, kills):
    print(result)
    assert result.kills.total() >= kills
    assert (result.lost, result.doubled, result.differing_files) == (0, 0, 0)
    assert result.outputs >= 1
    assert result.failed == 0


@pytest.mark.slow
def test_a_short_storm_loses_and_doubles_nothing(tmp_path):
    check(Storm(tmp_path, seed=3).blow(6), 6)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_long_storm_on_disk(tmp_path):
    check(Storm(tmp_path, seed=1).blow(60), 60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_long_storm_on_s3(tmp_path):
    with bucket(tmp_path / "s3") as uri:
        check(Storm(tmp_path, seed=2, uri=uri).blow(40), 40)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_storm_over_the_ends_of_runs(tmp_path):
    result = FinishStorm(tmp_path, seed=4).blow(60)
    print(result)
    assert result.wrong == []
    assert (result.lost, result.doubled) == (0, 0)
    assert result.disturbed.total() >= 40
    assert set(result.moments) >= {"groups", "run.json", "_SUCCESS"}
