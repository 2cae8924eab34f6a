"""The job server of a Ray cluster: starts jobs, joins them if they run, follows and stops them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vggbatch.errors import JobFailed, UsageError, VggbatchError
from vggbatch.submit.dashboard import connect, one_line, translated
from vggbatch.submit.submission import Submission

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

_DIGEST = "vggbatch_command"
"""Key of a job's metadata: what it was asked to do, as a digest."""
_TERMINAL = ("SUCCEEDED", "FAILED", "STOPPED")
_ENVIRONMENT = {
    # a job that is stopped ends as by Ctrl-C: it gives its output free for the next run
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": "30",
    # Ray's own lines in the log, which is no terminal
    "RAY_COLOR_PREFIX": "0",
}
_TIMEOUT_S = 300.0
"""Seconds without an answer after which a job that is followed counts as lost."""
_POLL = 0.5
"""Seconds between two looks at a job's status."""


@dataclass(frozen=True)
class Submitted:
    """A job on a cluster."""

    id: str
    joined: bool
    """It was running already; nothing was started."""


class RayJobs:
    """The job server of a Ray cluster.

    Args:
        address: the dashboard's URL (`http://HOST:8265`), or an address that Ray knows: `auto`,
            the head's `HOST:PORT`, `ray://HOST:PORT`. None: $RAY_API_SERVER_ADDRESS, then
            $RAY_ADDRESS, then a cluster on this machine. A token comes from where Ray looks for it
            when RAY_AUTH_MODE=token: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises:
        UsageError: ray[default] is not installed, there is no address, the token is missing or
            wrong, or the cluster runs a version of Ray that vggbatch does not know.
        VggbatchError: nobody answers.
    """

    def __init__(self, address: str | None) -> None:
        self._client = connect(address)
        self.url: str = self._client.get_address()

    def page(self, job: str) -> str:
        """The job's page in the dashboard."""
        return f"{self.url}/#/jobs/{job}"

    def submit(self, submission: Submission) -> Submitted:
        """Start a job, unless one that was asked for the same is waiting or running.

        Raises:
            UsageError: the working directory is too large to be uploaded.
            VggbatchError: the cluster does not answer, or refuses.
        """
        with translated(self.url):
            package = self._upload(submission.working_dir)
            digest = submission.digest(package)
            for job in self._client.list_jobs():
                same = (job.metadata or {}).get(_DIGEST) == digest
                if same and job.submission_id and job.status not in _TERMINAL:
                    return Submitted(job.submission_id, joined=True)
            environment = {**_ENVIRONMENT, **submission.environment}
            identifier = self._client.submit_job(
                entrypoint=submission.entrypoint,
                runtime_env={
                    "env_vars": environment,
                    **({"working_dir": package} if package else {}),
                },
                metadata={_DIGEST: digest},
                entrypoint_num_cpus=submission.num_cpus or None,
                entrypoint_memory=submission.memory,
                entrypoint_resources=dict(submission.resources) or None,
            )
        return Submitted(identifier, joined=False)

    def follow(self, job: str, *, timeout: float = _TIMEOUT_S) -> Iterator[str]:
        """What the job prints, from its start to its end, across lost connections.

        Args:
            job: its id.
            timeout: seconds without an answer until it is given up.

        Raises:
            VggbatchError: the cluster has not answered for that long.
        """
        printed, lost_at = 0, None
        while True:
            seen = 0
            try:
                self._details(job)
                lost_at = None
                for text in self._tail(job):
                    # a new connection starts with the first line again
                    new = text[max(0, printed - seen) :]
                    seen += len(text)
                    if new:
                        printed += len(new)
                        yield new
                if self._details(job).status in _TERMINAL:
                    return
            except (OSError, RuntimeError, VggbatchError) as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > timeout:
                    raise VggbatchError(
                        f"the cluster at {self.url} has not answered for {timeout:.0f} s; the job "
                        f"may continue without being watched ({one_line(error)})"
                    ) from None
            time.sleep(_POLL)

    def wait(self, job: str) -> int:
        """The exit status of the job's command, once it has ended.

        Raises:
            JobFailed: it was stopped, or never ran to its end: its node is gone, say.
        """
        while True:
            details = self._details(job)
            if details.status in _TERMINAL:
                break
            time.sleep(_POLL)
        if details.status == "STOPPED":
            raise JobFailed(f"job {job} was stopped; submit the same command again to continue")
        status = 0 if details.status == "SUCCEEDED" else details.driver_exit_code
        if status is None:
            raise JobFailed(f"job {job} failed: {one_line(details.message)}")
        return int(status) if status >= 0 else 128 - int(status)

    def stop(self, job: str) -> None:
        """Ask the job to end, as by Ctrl-C, and wait until it has."""
        with translated(self.url):
            self._client.stop_job(job)
        while self._details(job).status not in _TERMINAL:
            time.sleep(_POLL)

    def _upload(self, folder: str | None) -> str | None:
        """Send a working directory, where it is not there yet; the URI that Ray gives it.

        What .gitignore and .rayignore in it name is left out, and .git and .venv.
        """
        if folder is None:
            return None
        parts = {"working_dir": folder}
        try:
            # submitting does the same, but does not give the URI
            self._client._upload_working_dir_if_needed(parts)
        except RuntimeError as error:
            limit = re.search(r"413.*?body size (\d+)", str(error))
            if limit is None:
                raise
            raise UsageError(
                f"the working directory {folder} has more than {int(limit[1]) / 1e6:.0f} MB, "
                "packed, and the cluster takes no more: name what the job does not need in a "
                ".gitignore or .rayignore there, or give the URI of a zip file in a bucket"
            ) from None
        return parts["working_dir"]

    def _details(self, job: str) -> JobDetails:
        with translated(self.url):
            return self._client.get_job_info(job)

    def _tail(self, job: str) -> Iterator[str]:
        """Ray's asynchronous iterator, for a plain loop."""
        import aiohttp

        loop = asyncio.new_event_loop()
        lines = self._client.tail_job_logs(job)
        try:
            while True:
                try:
                    yield loop.run_until_complete(lines.__anext__())
                except StopAsyncIteration:
                    return
                except aiohttp.ClientError as error:
                    raise ConnectionError(str(error)) from None
        finally:
            # Ctrl-C leaves the wait for the next lines behind
            waiting = asyncio.all_tasks(loop)
            for task in waiting:
                task.cancel()
            if waiting:
                loop.run_until_complete(asyncio.wait(waiting))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
