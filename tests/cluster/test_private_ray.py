"""A Ray of a run's own: where its ports listen, and who can read its token."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import ray

from vggbatch.cluster.internals import LOOPBACK
from vggbatch.cluster.private_ray import ensure_private_token


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        # set first, so that what the test sets is taken back
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def modes(home: Path) -> tuple[int, int]:
    return (home / ".ray").stat().st_mode & 0o777, (home / ".ray/auth_token").stat().st_mode & 0o777


@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077])
def test_a_new_token_is_its_owners_alone_whatever_the_umask(home, mask):
    before = os.umask(mask)
    try:
        ensure_private_token()
    finally:
        os.umask(before)
    assert modes(home) == (0o700, 0o600)
    assert len((home / ".ray/auth_token").read_text()) == 64
    assert os.listdir(home / ".ray") == ["auth_token"]


def test_a_token_that_is_there_is_kept_and_closed_to_others(home):
    (home / ".ray").mkdir(mode=0o755)
    (home / ".ray/auth_token").write_text("of an earlier Ray")
    (home / ".ray/auth_token").chmod(0o644)
    ensure_private_token()
    assert (home / ".ray/auth_token").read_text() == "of an earlier Ray"
    assert modes(home) == (0o700, 0o600)


def test_an_empty_file_is_no_token(home):
    (home / ".ray").mkdir()
    (home / ".ray/auth_token").touch()
    ensure_private_token()
    assert len((home / ".ray/auth_token").read_text()) == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_TOKEN", "mine"), ("RAY_AUTH_TOKEN_PATH", "/mine"), ("RAY_AUTH_MODE", "disabled")],
)
def test_what_the_user_has_set_stays(home, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    ensure_private_token()
    assert os.environ[name] == value
    assert not (home / ".ray").exists()


def test_a_home_that_takes_no_file_leaves_the_token_to_the_environment(home):
    (home / ".ray").write_text("a file")
    variables = ensure_private_token()
    assert variables.keys() == {"RAY_AUTH_TOKEN"}
    assert len(variables["RAY_AUTH_TOKEN"]) == 64


def listening(pids: set[int]) -> set[str]:
    """The addresses on which processes listen, as the kernel lists them."""
    sockets = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A":
                sockets[rest[5]] = local.rpartition(":")[0]
    found = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
            except OSError:
                continue
            if match and match[1] in sockets:
                found.add(sockets[match[1]])
    return found


@pytest.mark.usefixtures("ray_cluster")
def test_every_port_listens_on_the_loopback_address():
    assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {LOOPBACK}
    me = psutil.Process()
    pids = {process.pid for process in [me, *me.children(recursive=True)]}
    # 127.0.0.1, by itself and in an address of IPv6, in the kernel's notation
    assert listening(pids) <= {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.mark.slow
def test_a_run_of_its_own_leaves_a_private_token(home):
    script = (
        "import os\nos.umask(0)\n"
        "from vggbatch.config import ComputeOptions\n"
        "from vggbatch.cluster.connection import ray_cluster\n"
        "with ray_cluster(ComputeOptions(num_cpus=1), chunk_bytes=2**20): pass"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert modes(home) == (0o700, 0o600)
