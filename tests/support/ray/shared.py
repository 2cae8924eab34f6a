"""One Ray for the tests that ask for it, and none for the others.

A run takes the Ray that its process is connected to, so one that outlived its tests would change
what all later ones go through.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

_OPEN = ExitStack()
"""What ends the shared Ray; empty while there is none."""


@pytest.fixture(scope="module")
def ray_cluster() -> None:
    """A local Ray of two logical CPUs, left running for the next test that asks for it."""
    import ray

    from vggbatch.cluster.connection import ray_cluster as start
    from vggbatch.config import ComputeOptions

    if ray.is_initialized():
        return
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("vggbatch").addHandler(handler)
    _OPEN.enter_context(start(ComputeOptions(num_cpus=2), chunk_bytes=2**20))
    logging.getLogger("vggbatch").removeHandler(handler)
    # of what keeps a Ray to its user, nothing may go with a new version of Ray
    assert not said


@pytest.fixture(autouse=True)
def _no_ray_for_others(request: pytest.FixtureRequest) -> None:
    if "ray_cluster" not in request.fixturenames:
        _OPEN.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests that share Ray together, for one that does not would end it.

    Where processes share the tests they come first, then the other files from costly to cheap, so
    that no process is at work on a costly one at the end.
    """
    if hasattr(config, "workerinput"):
        costly = {item.path for item in items if not item.get_closest_marker("unit")}
        items.sort(key=lambda item: (not _shares_ray(item), item.path not in costly))
    else:
        items.sort(key=_shares_ray)


def _shares_ray(item: pytest.Item) -> bool:
    return "ray_cluster" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def _no_ray_at_the_end() -> Iterator[None]:
    with _OPEN:
        yield


class _RayTogether(LoadFileScheduling):
    """Files to processes, those that ask for Ray all to one: it is started once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "ray" if "ray_cluster" in (Path(self.config.rootpath) / file).read_text() else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """How tests are shared among the processes of `--dist loadfile`, in the order from above."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return _RayTogether(config, log)
