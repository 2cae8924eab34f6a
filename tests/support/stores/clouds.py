"""Google's and Azure's object stores for the tests: the emulators that their users test with.

gcp-storage-emulator comes with the extra `test`; Azurite is an npm package, which .ci/run installs
into the environment. Where one is missing its tests skip.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.support.ports import free_ports

AZURE_ACCOUNT, AZURE_KEY = "testaccount", "c2VjcmV0LW9mLXRoZS10ZXN0cw=="
_START_SECONDS = 60


def azure_connection(endpoint: str, key: str = AZURE_KEY) -> str:
    """A connection string for the emulator's account."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={key};"
        f"BlobEndpoint={endpoint}/{AZURE_ACCOUNT};"
    )


def _azurite() -> str | None:
    beside = Path(sys.prefix, "azurite/node_modules/.bin/azurite-blob")
    return str(beside) if beside.exists() else shutil.which("azurite-blob")


def _serve(command: list[str], endpoint: str, log: Path, **environ: str) -> Iterator[str]:
    """Run a server until the tests are over; yields its endpoint once it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environ}
        )
    deadline = time.monotonic() + _START_SECONDS
    try:
        while True:
            try:
                urlopen(endpoint, timeout=1).close()
                break
            except HTTPError:
                break  # it answers
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = log.read_text(errors="replace")[-2000:]
                    pytest.fail(f"{command[0]} did not start:\n{tail}")
                time.sleep(0.1)
        yield endpoint
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def _gcs_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not importlib.util.find_spec("gcp_storage_emulator"):
        pytest.skip("the gcp-storage-emulator package is not installed")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory"]
    command += ["--host=127.0.0.1", f"--port={port}"]
    log = tmp_path_factory.mktemp("gcs") / "log"
    yield from _serve(command, f"http://127.0.0.1:{port}", log)


@pytest.fixture(scope="session")
def _azure_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    azurite = _azurite()
    if azurite is None:
        pytest.skip(f"Azurite is not installed: npm install --prefix {sys.prefix}/azurite azurite")
    (port,) = free_ports(1)
    command = [azurite, "--blobHost=127.0.0.1", f"--blobPort={port}", "--inMemoryPersistence"]
    command += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    log = tmp_path_factory.mktemp("azure") / "log"
    accounts = f"{AZURE_ACCOUNT}:{AZURE_KEY}"
    yield from _serve(command, f"http://127.0.0.1:{port}", log, AZURITE_ACCOUNTS=accounts)


@pytest.fixture
def gcs_server(_gcs_process: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The emulator's endpoint, with this process's environment set so that gs:// means it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _gcs_process)
    # the emulator has no gRPC, by which gcsfs asks for the kind of a bucket
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs = pytest.importorskip("gcsfs")
    gcsfs.GCSFileSystem.clear_instance_cache()
    yield _gcs_process
    gcsfs.GCSFileSystem.clear_instance_cache()


@pytest.fixture
def azure_server(_azure_process: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The emulator's endpoint, with this process's environment set so that abfs:// means it."""
    adlfs = pytest.importorskip("adlfs")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_connection(_azure_process))
    adlfs.AzureBlobFileSystem.clear_instance_cache()
    yield _azure_process
    adlfs.AzureBlobFileSystem.clear_instance_cache()
