"""What every test may use: a model, a cache of its own, Ray for those that ask for it."""

from __future__ import annotations

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

# how long an example takes on a busy machine is no fault. The same examples each time, for a new
# one that crashes native code ends a process of tests; HYPOTHESIS_PROFILE=random draws others
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

pytest_plugins = [
    "tests.support.here",
    "tests.support.ray.shared",
    "tests.support.stores.s3",
    "tests.support.stores.clouds",
    "tests.support.tiers",
]


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared models of this test run; never the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["VGGBATCH_CACHE_DIR"] = str(folder)
    yield folder
    del os.environ["VGGBATCH_CACHE_DIR"]


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 32 x 32 pixels and 1000 classes that tells images apart."""
    return color_net(tmp_path_factory.mktemp("net") / "net.onnx")
