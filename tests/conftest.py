"""What every test may use: one Ray cluster for the whole run, a model, a cache of its own."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.nets import color_net

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
for name in [name for name in os.environ if name.startswith("VGGBATCH_")]:
    del os.environ[name]
os.environ["VGGBATCH_ALLOW_PROTOCOLS"] = "memory"  # a store for tests that need no server

# a suite that was started in the background ignores Ctrl-C, and so would the programs under test
signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes on a busy machine is no fault
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

pytest_plugins = ["tests.support.stores.s3", "tests.support.stores.clouds"]


_RAY_FOLDERS = ("tests/cluster/", "tests/executors/ray_data/", "tests/submit/", "tests/jobs/")
"""Tests that start a Ray of their own."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process, and all that start Ray in the same one.

    A machine of two cores has room for one Ray and, beside it, for the tests without it.
    """
    files = [item.nodeid.partition("::")[0] for item in items]
    ray = {
        file
        for file, item in zip(files, items, strict=True)
        if file.startswith(_RAY_FOLDERS) or "ray_cluster" in getattr(item, "fixturenames", ())
    }
    for file, item in zip(files, items, strict=True):
        item.add_marker(pytest.mark.xdist_group("ray" if file in ray else file))


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared models of this test run; never the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["VGGBATCH_CACHE_DIR"] = str(folder)
    yield folder
    del os.environ["VGGBATCH_CACHE_DIR"]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local Ray of two logical CPUs that all tests of the run share."""
    import ray

    from vggbatch.cluster.connection import ray_cluster as start
    from vggbatch.config import ComputeOptions

    if ray.is_initialized():
        yield
        return
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("vggbatch").addHandler(handler)
    with start(ComputeOptions(num_cpus=2), chunk_bytes=2**20):
        # of what keeps a Ray to its user, nothing may go with a new version of Ray
        assert not said
        logging.getLogger("vggbatch").removeHandler(handler)
        yield


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 32 x 32 pixels and 1000 classes that tells images apart."""
    return color_net(tmp_path_factory.mktemp("net") / "net.onnx")
