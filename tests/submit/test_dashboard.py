"""Addresses at which there is no dashboard, another one, or none that is known: one line each."""

import socket
import subprocess
import sys

import pytest

from tests.support.ray.hosts import network_hosts
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.submit import RayJobs


def test_no_address_and_no_cluster_here(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    # where Ray looks for the last one that was started, and for those whose processes run
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    with pytest.raises(UsageError, match=r"no cluster is named.* --address"):
        RayJobs(None)
    with pytest.raises(UsageError, match="htpp://head:8265 is no address"):
        RayJobs("htpp://head:8265")
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(VggbatchError, match="the address in RAY_ADDRESS") as caught:
        RayJobs(None)
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("version", ["2.9.3", "3.0.0"])
def test_a_cluster_of_an_unknown_version_is_refused(server, version):
    server.version = {"ray_version": version}
    with pytest.raises(UsageError, match=f"runs Ray {version}, and vggbatch knows Ray"):
        RayJobs(server.url)


def test_what_is_no_dashboard_is_told(server):
    server.version = {"something": "else"}
    with pytest.raises(VggbatchError, match="no answer of a Ray dashboard"):
        RayJobs(server.url)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(VggbatchError, match="http://HOST:8265"):
            RayJobs(f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "http://127.0.0.1:9", "ray://127.0.0.1:9"])
def test_where_nobody_listens_is_one_line(address):
    words = ["submit", "--address", address, "models", "list"]
    done = subprocess.run(
        [sys.executable, "-m", "vggbatch", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(
        f"error: no answer of a Ray dashboard at {address} (Connection refused); "
    )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["http://{}:8265", "{}:6379"])
def test_an_address_that_swallows_packets_is_one_line(form):
    with network_hosts(1) as hosts:
        address = form.format(hosts.nowhere(1))
        words = ["-m", "vggbatch", "submit", "--address", address, "models", "list"]
        submit = hosts.start(1, sys.executable, *words, stderr=subprocess.PIPE, text=True)
        _, said = submit.communicate(timeout=90)
    assert submit.returncode == 1
    assert said.startswith(f"error: no answer of a Ray dashboard at {address} (timed out); ")
    assert len(said.splitlines()) == 1


def test_a_proxy_is_asked_by_whoever_uses_it(monkeypatch):
    """It may know the way where this machine does not."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(VggbatchError, match="Failed to connect to Ray"):
        RayJobs("http://dashboard.invalid:8265")


def test_the_address_given_counts_more_than_the_environment(server, monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    assert RayJobs(server.url).url == server.url
    with pytest.raises(VggbatchError, match="the address in RAY_API_SERVER_ADDRESS"):
        RayJobs(None)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", server.url)
    assert RayJobs(None).url == server.url


def test_without_ray_default_it_is_said_what_to_install(tmp_path):
    (tmp_path / "aiohttp.py").write_text("raise ImportError('not here')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from vggbatch.cli import main; main()"
    )
    words = ["submit", "--address", "http://127.0.0.1:9", "models", "list"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: submitting needs ray[default]: pip install 'vggbatch[submit]'"
    ]
