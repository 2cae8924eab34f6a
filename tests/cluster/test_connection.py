"""Clusters that cannot be joined: one line within seconds, whatever is at the address."""

import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import ray

from tests.support.images import write_folder
from tests.support.ports import dead_port
from tests.support.ray.cluster import command
from tests.support.ray.hosts import network_hosts
from vggbatch import api
from vggbatch.cluster import connection
from vggbatch.cluster.connection import reach
from vggbatch.errors import UsageError, VggbatchError


@pytest.fixture
def silent():
    """The port of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def web():
    """The port of a web server, as Ray's dashboard is one."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_ray_client_is_refused_before_anything_is_begun(net, tmp_path, monkeypatch):
    write_folder(tmp_path / "images", 1)
    asked = [{"compute": {"address": "ray://head:10001"}}, {}]
    for options in asked:
        if not options:
            monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
        for action in (api.score, api.plan):
            with pytest.raises(UsageError, match=r"ray://head:10001: Ray Data does not run .*6379"):
                action(
                    str(tmp_path / "images"), model=str(net), output=str(tmp_path / "o"), **options
                )
    assert not (tmp_path / "o").exists()


def test_a_command_says_in_one_line_that_nobody_is_there(net, tmp_path):
    write_folder(tmp_path / "images", 1)
    address = f"127.0.0.1:{dead_port()}"
    started = time.monotonic()
    score = command(
        *("score", tmp_path / "images", "-m", net, "-o", tmp_path / "out", "--address", address)
    )
    _, said = score.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert score.returncode == 1
    error = said.splitlines()[-1]
    assert error.startswith(f"error: cannot join the Ray cluster at {address}: Connection refused;")
    assert "Traceback" not in said


@pytest.mark.slow
def test_an_address_that_swallows_packets_is_one_line(net, tmp_path):
    write_folder(tmp_path / "images", 1)
    with network_hosts(1) as hosts:
        address = f"{hosts.nowhere(1)}:6379"
        words = ["score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"]
        command = [sys.executable, "-m", "vggbatch", *words, "--address", address]
        score = hosts.start(1, *command, stderr=subprocess.PIPE, text=True)
        _, said = score.communicate(timeout=90)
    assert score.returncode == 1
    error = said.splitlines()[-1]
    assert error.startswith(f"error: cannot join the Ray cluster at {address}: timed out; ")
    assert "Traceback" not in said


def test_a_host_that_does_not_answer(silent, monkeypatch):
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(VggbatchError, match="timed out; `ray start --head` prints"):
        reach(f"127.0.0.1:{silent}")


def test_a_port_that_is_the_dashboards(web):
    with pytest.raises(VggbatchError, match=r"no Ray head; .*\(8265 is for `vggbatch submit`\)"):
        reach(f"127.0.0.1:{web}")


def test_a_name_that_nobody_knows():
    with pytest.raises(VggbatchError, match=re.escape("at nobody.invalid:6379: ")):
        reach("nobody.invalid:6379")


@pytest.mark.usefixtures("ray_cluster")
def test_a_head_that_is_there():
    reach(ray.get_runtime_context().gcs_address)


@pytest.mark.parametrize("address", ["auto", "local", "a head of a name without a port"])
def test_what_ray_looks_up_is_left_to_ray(address):
    reach(address)
