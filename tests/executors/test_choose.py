"""One place decides which executor a run gets; what it begins ends with its block."""

import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from vggbatch.config import ComputeOptions, load_config
from vggbatch.errors import UsageError
from vggbatch.executors.choose import chosen_executor, executor_for

IMPORTED = """
import sys
from vggbatch.config import ComputeOptions
from vggbatch.executors.choose import executor_for
with executor_for(ComputeOptions(executor="local")):
    print("ray" in sys.modules)
"""


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """As in a process that has not imported Ray: other tests of this one may have joined one."""
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, "local"),
        ({"address": "auto"}, "ray"),
        ({"executor": "ray"}, "ray"),
        ({"executor": "local"}, "local"),
    ],
)
def test_an_address_means_ray(options, chosen):
    assert chosen_executor(ComputeOptions(**options)) == chosen


def test_so_does_one_in_the_environment_and_a_ray_that_is_joined(monkeypatch):
    joined = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "ray", joined)
    assert chosen_executor(ComputeOptions()) == "ray"
    assert chosen_executor(ComputeOptions(executor="local")) == "local"
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    assert chosen_executor(ComputeOptions()) == "local"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert chosen_executor(ComputeOptions()) == "ray"
    assert chosen_executor(ComputeOptions(executor="local")) == "local"


def test_ray_client_is_refused_where_it_would_be_used(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(UsageError, match="Ray Client"), executor_for(ComputeOptions()):
        pass
    with executor_for(ComputeOptions(executor="local")) as executor:
        assert executor.name == "local"


def test_local_with_an_address_is_refused():
    settings = ["compute.executor=local", "compute.address=head:6379"]
    with pytest.raises(UsageError, match="executor local takes no address, and address is head"):
        load_config(options={"input": ("x",)}, settings=settings, environ={})


def test_what_is_begun_ends_with_the_block():
    with executor_for(ComputeOptions()) as executor:
        assert executor.name == "local"
        (child,) = [c for c in psutil.Process().children() if "local.worker" in str(c.cmdline())]
    assert not psutil.pid_exists(child.pid)


def test_the_local_executor_imports_no_ray():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["False"], "")
