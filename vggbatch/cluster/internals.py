"""Every private name of Ray that this package uses, but for those of Ray Data.

Nothing public does as much. Each use is guarded: without it a run works, and a line in the log says
what is lost. Those of Ray Data are in executors/ray_data/internals.py: a cluster is joined before
Ray Data is imported.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import ray
from ray.job_config import JobConfig

from vggbatch import process
from vggbatch.cluster.quiet import silent_stderr

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

LOOPBACK = "127.0.0.1"

_SWITCH = "ENABLE_RAY_CLUSTER"
"""Ray's own switch, off by default on Windows and macOS alone. While it is on, Ray replaces a
loopback address by one that other machines reach."""
_ADDRESS = "_node_ip_address"
"""Argument of `ray.init`: the address of a node that is started."""
CONNECTING = ("ray._private.worker",)
"""Loggers that say that Ray connects, and that a thread which joins can set no handler of SIGTERM.
Where they have other names, that is heard again."""
UPLOADING = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
    "ray._private.runtime_env.working_dir",
)
"""Loggers that report uploads and connections at levels of their own, and advise to change
arguments that the user did not give."""

_EXPOSED = "this version of Ray listens on every interface; its token keeps others out"

log = logging.getLogger(__name__)


def init_on_loopback(**settings: Any) -> None:
    """Start a Ray that uses the loopback address alone.

    Args:
        settings: arguments of `ray.init`.
    """
    with _switched_off():
        try:
            ray.init(**{**settings, _ADDRESS: LOOPBACK})
        except RuntimeError as error:
            if _ADDRESS not in str(error):
                raise
            log.warning(_EXPOSED)
            ray.init(**settings)


@contextlib.contextmanager
def _switched_off() -> Iterator[None]:
    try:
        from ray._private import ray_constants

        before = getattr(ray_constants, _SWITCH)
    except (ImportError, AttributeError):
        log.warning(_EXPOSED)
        yield
        return
    setattr(ray_constants, _SWITCH, False)
    try:
        yield
    finally:
        setattr(ray_constants, _SWITCH, before)


class _ImportPath(list[str]):
    """What Ray puts first on its workers' path of imports, without the driver's current folder."""

    used = False

    def extend(self, folders: Iterable[str]) -> None:
        self.used = True
        super().extend(process.trusted(list(folders)))


def safe_job() -> JobConfig:
    """Settings of a job whose workers import nothing from the driver's current folder."""
    job = JobConfig()
    # Ray adds the folder to this list, and has no switch for it
    job._py_driver_sys_path = _ImportPath()
    return job


def warn_of_unsafe(job: JobConfig) -> None:
    """Say what is lost where Ray, which has taken a `safe_job`, did not use its path of imports."""
    folders = job._py_driver_sys_path
    if not (isinstance(folders, _ImportPath) and folders.used):
        log.warning(
            "this version of Ray keeps its workers' path of imports elsewhere: they may import "
            "Python files from the current folder; start runs in a folder that you trust"
        )


def wants_another_token(address: str) -> bool:
    """Whether the head of a cluster refuses the token that this process would send, or its lack.

    Ray itself asks again for 20 s, and then says that it cannot connect.

    Args:
        address: `HOST:PORT`, at which something that speaks gRPC listens.
    """
    try:
        from ray._raylet import GcsClient  # type: ignore[attr-defined]
        from ray.exceptions import AuthenticationError
    except ImportError:
        log.debug("this version of Ray has no client to try a token with")
        return False
    try:
        with silent_stderr():
            GcsClient(address=address)
    except AuthenticationError:
        return True
    except Exception as error:  # what joining says of it is better
        log.debug("no answer to a trial of the token: %s", error)
    return False


def node_groups() -> list[tuple[int, int]]:
    """How many nodes of each kind the autoscaler may start, and the logical CPUs of one.

    A negative number means without a limit.

    Returns:
        Nothing also where this Ray, or a client connection, does not say.
    """
    try:
        config = ray._private.state.state.get_cluster_config()
        groups = list(config.node_group_configs) if config else []
        return [(group.max_count, int(group.resources.get("CPU", 0))) for group in groups]
    except Exception as error:
        log.info("the autoscaler does not say what nodes it may start: %s", error)
        return []


def starting_actors(name: str) -> int:
    """Actors of this process that have a place on a node and are not ready yet.

    Args:
        name: a part of the name of their class.

    Returns:
        0 also where this Ray, or a client connection, does not say: no more than a detail of a line
        about waiting is lost.
    """
    try:
        job = ray.JobID(bytes.fromhex(ray.get_runtime_context().get_job_id()))
        found = ray._private.state.actors(job_id=job, actor_state_name="PENDING_CREATION")
        return sum(
            name in actor["ActorClassName"] and bool(actor["Address"]["IPAddress"])
            for actor in found.values()
        )
    except Exception as error:
        log.debug("Ray does not say which actors start: %s", error)
        return 0


def version_of(client: JobSubmissionClient) -> str | None:
    """The version of Ray that a cluster runs, which its client has asked for.

    Returns:
        None where this Ray does not say; then a version that vggbatch does not know is not refused.
    """
    found: str | None = getattr(client, "_server_ray_version", None)
    if found is None:
        log.info("the client of the cluster does not say which Ray runs there")
    return found
