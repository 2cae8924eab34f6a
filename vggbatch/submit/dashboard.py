"""Reaching the dashboard of a Ray cluster, and its answers as errors of one line."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from vggbatch.cluster.quiet import silent_stderr
from vggbatch.errors import UsageError, VggbatchError
from vggbatch.extras import command_for

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from ray.job_submission import JobSubmissionClient

_EXAMPLE = "http://HOST:8265"
_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_CONNECT_TIMEOUT_S = 15.0
"""Seconds for an address to take a connection."""


def connect(address: str | None) -> JobSubmissionClient:
    """Ray's client of a dashboard that answers and whose Ray vggbatch knows.

    Args:
        address: as RayJobs takes it.

    Raises:
        UsageError: ray[default] is not installed, there is no address, the token is missing or
            wrong, or the cluster runs a version of Ray that vggbatch does not know.
        VggbatchError: nobody answers.
    """
    named = next((name for name in _VARIABLES if os.environ.get(name)), None)
    where = address or (f"the address in {named}" if named else "this machine")
    try:
        with translated(where), _only(address):
            client = _client(address)
            _check_version(client)
            return client
    except VggbatchError as error:
        if isinstance(error, UsageError) or address or named:
            raise
        raise UsageError(
            "no cluster is named, and there is not one on this machine: give --address "
            f"{_EXAMPLE}, or set RAY_API_SERVER_ADDRESS"
        ) from None


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Ray's errors as one line that says what to do.

    Args:
        where: the dashboard, for the line.

    Raises:
        UsageError: the token is missing or wrong.
        VggbatchError: for anything else that the client raises.
    """
    from ray.exceptions import AuthenticationError, RayError

    try:
        yield
    except AuthenticationError as error:
        raise UsageError(f"{where}: {_token_advice(str(error))}") from None
    except (OSError, ValueError, KeyError, RayError) as error:
        # requests raises OSErrors
        raise VggbatchError(
            f"no answer of a Ray dashboard at {where} ({one_line(error)}); its address "
            f"looks like {_EXAMPLE}"
        ) from None
    except RuntimeError as error:
        raise VggbatchError(f"the cluster at {where} refuses: {one_line(error)}") from None


def one_line(error: object) -> str:
    """A message in one line: of a traceback the end, which says what happened."""
    text = str(error).strip()
    if "Traceback" in text:
        text = text.splitlines()[-1]
    return " ".join(text.split())[:500]


def _reach(address: str) -> None:
    """Find out whether somebody listens: Ray's client would try for minutes.

    Raises:
        OSError: nobody does, with the reason alone.
    """
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    if parts.hostname and port and parts.scheme not in getproxies():
        try:
            socket.create_connection((parts.hostname, port), _CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise ConnectionError(error.strerror or str(error)) from None


def _client(address: str | None) -> JobSubmissionClient:
    try:
        import aiohttp  # noqa: F401  Ray's client needs it and fails in another way without
    except ImportError:
        raise UsageError(f"submitting needs ray[default]: {command_for('ray[default]')}") from None
    from ray.job_submission import JobSubmissionClient

    from vggbatch.cluster.internals import UPLOADING

    scheme, separator, _ = (address or "").partition("://")
    if separator and scheme not in ("http", "https", "ray"):
        raise UsageError(f"{address} is no address of a Ray dashboard; one looks like {_EXAMPLE}")
    _reach(address or next(filter(None, map(os.environ.get, _VARIABLES)), ""))
    for name in UPLOADING:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with silent_stderr():
            return JobSubmissionClient(address)
    except ValueError as error:
        raise UsageError(
            f"no address of a Ray dashboard: {one_line(error)}; one looks like {_EXAMPLE}"
        ) from None


@contextlib.contextmanager
def _only(address: str | None) -> Iterator[None]:
    """Ray lets its environment variables override an address; here the one given counts."""
    hidden = {} if address is None else {name: os.environ.get(name) for name in _VARIABLES}
    for name in hidden:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in hidden.items() if value is not None})


def _check_version(client: JobSubmissionClient) -> None:
    from vggbatch.cluster.internals import version_of

    found, known = version_of(client), _known_versions()
    if found and known is not None and not known.contains(found, prereleases=True):
        raise UsageError(
            f"the cluster at {client.get_address()} runs Ray {found}, and vggbatch knows Ray "
            f"{known}: use another image, or another release of vggbatch"
        )


def _known_versions() -> SpecifierSet | None:
    """The versions of Ray that this package asks for; None where it is not installed."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("vggbatch") or []
    except metadata.PackageNotFoundError:
        return None
    wanted = [Requirement(line) for line in lines if line.startswith("ray")]
    return next((one.specifier for one in wanted if one.marker is None), None)


def _token_advice(message: str) -> str:
    if "Authentication required" in message:
        return (
            "the cluster wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH"
        )
    return "the cluster does not accept the token of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray"
