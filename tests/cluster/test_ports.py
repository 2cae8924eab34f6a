"""Ray's nodes answer a greeting; what hangs, is gone or is something else does not."""

import socket

import pytest
import ray

from vggbatch.cluster.ports import check_grpc_port, unresponsive_nodes


@pytest.fixture
def mute():
    """A node whose process hangs: the kernel still takes connections for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield {"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port}


@pytest.fixture
def gone():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return {"NodeManagerAddress": "localhost", "NodeManagerPort": port}


@pytest.mark.usefixtures("ray_cluster")
def test_nodes_that_do_not_answer_are_told_from_those_that_do(mute, gone):
    [node] = ray.nodes()
    assert unresponsive_nodes([node], 5) == ()
    assert unresponsive_nodes([mute, node, gone], 1) == ("127.0.0.1", "localhost")


def test_where_none_answers_none_can_be_reached_from_here(mute, gone):
    assert unresponsive_nodes([mute, gone], 0.2) == ()


def test_who_says_nothing_is_waited_for_no_longer_than_told(mute):
    with pytest.raises(TimeoutError):
        check_grpc_port("127.0.0.1", mute["NodeManagerPort"], 0.2)
