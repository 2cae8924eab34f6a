"""Outputs that are scored in this process, and all that is in one."""

import json
from contextlib import contextmanager

import pytest

from vggbatch import api


@contextmanager
def without_ray():
    """Whether or not other tests have started it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vggbatch.executors.choose.chosen_executor", lambda options: "local")
        yield


def evaluate(config):
    with without_ray():
        return api.evaluate(config).result.scored_now


def score(config):
    with without_ray():
        return api.score(config).result.scored_now


def content(path):
    """What an output holds but for the times at which it was made."""
    files = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*.parquet")}
    plan = json.loads((path / "_vggbatch/plan.json").read_text())["id"].encode()
    # each run has an ID of its own, which the footers say
    return {
        name: data.replace(plan, b"ID")
        for name, data in files.items()
        if not name.startswith("_vggbatch")
    }
