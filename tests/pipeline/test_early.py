import psutil

from vggbatch.config import ComputeOptions
from vggbatch.pipeline.early import early


def test_what_is_begun_ends_with_the_block():
    with early(ComputeOptions()) as begun:
        assert begun.joining is None
        assert psutil.Process(begun.head.pid).is_running()
    assert not psutil.pid_exists(begun.head.pid)


def test_within_it_the_same_is_under_way_and_after_it_another():
    with early(ComputeOptions()) as begun:
        with early(ComputeOptions()) as again:
            assert again is begun
        assert psutil.Process(begun.head.pid).is_running(), "the inner block ends nothing"
    with early(ComputeOptions()) as later:
        assert later.head.pid != begun.head.pid


def test_a_client_connection_is_on_no_node_and_gets_nothing():
    with early(ComputeOptions(address="ray://somewhere:10001")) as begun:
        assert (begun.head, begun.joining) == (None, None)
