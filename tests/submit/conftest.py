"""The job server, and its client."""

import pytest

from tests.submit.server import Server
from vggbatch.submit import RayJobs


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def jobs(server):
    return RayJobs(server.url)
