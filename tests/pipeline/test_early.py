import sys

import psutil
import pytest

from vggbatch.config import ComputeOptions
from vggbatch.pipeline.early import early


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported Ray: other tests of this one may have joined one."""
    monkeypatch.delitem(sys.modules, "ray", raising=False)


@pytest.mark.usefixtures("no_ray")
def test_what_is_begun_ends_with_the_block():
    with early(ComputeOptions()) as begun:
        assert begun.joining is None
        assert psutil.Process(begun.head.pid).is_running()
    assert not psutil.pid_exists(begun.head.pid)


@pytest.mark.usefixtures("no_ray")
def test_within_it_the_same_is_under_way_and_after_it_another():
    with early(ComputeOptions()) as begun:
        with early(ComputeOptions()) as again:
            assert again is begun
        assert psutil.Process(begun.head.pid).is_running(), "the inner block ends nothing"
    with early(ComputeOptions()) as later:
        assert later.head.pid != begun.head.pid


@pytest.mark.usefixtures("ray_cluster")
def test_a_program_that_has_joined_ray_already_gets_nothing():
    with early(ComputeOptions()) as begun:
        assert (begun.head, begun.joining) == (None, None)
