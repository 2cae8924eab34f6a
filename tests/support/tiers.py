"""The tier of each test: what it needs says how long it takes.

`cluster` needs Ray, `integration` a server of a store, a browser or programs of its own, `unit`
nothing but this process and files. `slow` is said by the test itself, beside its tier.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

_RAY = ("ray_cluster", "tests.support.ray.", "import ray\n", "ray.init(")
_PROGRAMS = ("subprocess", "multiprocessing", "tests.support.crashing", "bench.measure")
_CHOSEN = "getfixturevalue("
"""Of a server that a parameter names."""
_SERVERS = {"s3_server", "gcs_server", "azure_server", "browser"}
_FOLDERS = {"end_to_end", "faults", "storm", "deploy", "docs"}


@cache
def _of_file(path: Path) -> str:
    """The tier that a file's tests have at least."""
    text = path.read_text()
    if any(word in text for word in _RAY):
        return "cluster"
    below = path.relative_to(Path(__file__).parents[1]).parts[0]
    heavy = below in _FOLDERS or any(word in text for word in (*_PROGRAMS, _CHOSEN))
    return "integration" if heavy else "unit"


def tier_of(path: Path, fixtures: set[str]) -> str:
    """The tier of a test by its file and what it asks for."""
    tier = _of_file(path)
    return "integration" if tier == "unit" and fixtures & _SERVERS else tier


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, before `-m` chooses."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        item.add_marker(tier_of(item.path, fixtures))
