"""A command on a Ray cluster, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vggbatch.errors import JobFailed, UsageError
from vggbatch.submit.jobs import RayJobs
from vggbatch.submit.submission import Submission


@dataclass(frozen=True)
class SubmittedJob:
    """A job of a Ray cluster."""

    id: str
    joined: bool
    """It was running already; nothing was started."""
    page: str
    """Its page in the cluster's dashboard."""


def submit_job(
    words: Sequence[str],
    *,
    address: str | None = None,
    wait: bool = False,
    on_output: Callable[[str], None] | None = None,
    working_dir: str | None = None,
    environment: Mapping[str, str] | None = None,
    num_cpus: float = 0,
    memory: int | None = None,
    resources: Mapping[str, float] | None = None,
) -> SubmittedJob:
    """Run a command of vggbatch on a Ray cluster, as a Ray job.

    One that is running already is joined; to resume what was stopped or lost, submit it again.

    Args:
        words: the command and its options, `["score", "s3://bucket/images", "-o", ...]`; paths are
            those of the cluster's nodes.
        address: the dashboard, `http://HOST:8265`; None: RAY_API_SERVER_ADDRESS or RAY_ADDRESS.
        wait: return when the command has ended.
        on_output: called with what the command prints, while it is waited for.
        working_dir: folder to upload and run in.
        environment: variables for the job. Ray shows their values to all who may use the cluster.
        num_cpus: CPUs held for the command beside its tasks.
        memory: bytes of memory held for it.
        resources: custom resources held for it.

    Raises:
        UsageError: ray[default] is not installed, there is no cluster, it wants a token, or `words`
            is one text.
        VggbatchError: nobody answers.
        JobFailed: it was waited for, and its command failed.
    """
    if isinstance(words, str):
        raise UsageError(f"words is a list: submit_job({words.split()!r})")
    if not words or words[0] == "submit":
        raise UsageError("name the command to run: submit_job(['score', ...])")
    jobs = RayJobs(address)
    started = jobs.submit(
        Submission(
            words=tuple(words),
            working_dir=working_dir,
            environment=dict(environment or {}),
            num_cpus=num_cpus,
            memory=memory,
            resources=dict(resources or {}),
        )
    )
    if wait:
        for text in jobs.follow(started.id):
            if on_output is not None:
                on_output(text)
        status = jobs.wait(started.id)
        if status:
            raise JobFailed(f"job {started.id} ended with status {status}: see what it printed")
    return SubmittedJob(started.id, started.joined, jobs.page(started.id))
