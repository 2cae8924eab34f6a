"""Outputs that are scored in this process, and all that is in one."""

import json

from tests.support.here import runs_here
from vggbatch import api


def evaluate(config):
    with runs_here():
        return api.evaluate(config).result.scored_now


def score(config):
    with runs_here():
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
