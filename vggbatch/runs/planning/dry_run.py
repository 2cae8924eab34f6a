"""What a job would do, found out without doing it: for `vggbatch plan`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from vggbatch.classifier.cores import pinning
from vggbatch.cluster.node_requirements import check_own_machine
from vggbatch.cluster.placement import Placement
from vggbatch.executors.choose import chosen_executor
from vggbatch.job.job import Job
from vggbatch.job.label_check import LabelCount, count_labeled
from vggbatch.output.image_total import counted_images, estimated_images
from vggbatch.output.layout import Output
from vggbatch.output.ownership.confined import check_confined
from vggbatch.runs.planning.estimate import Estimate, estimate
from vggbatch.runs.planning.first_look import look_at_first
from vggbatch.runs.resume import check_continuable, check_output
from vggbatch.runs.revisions.append import arranged
from vggbatch.runs.revisions.gained import wanted
from vggbatch.runs.revisions.retry import wanted_again
from vggbatch.sources import InputWarning, Shard
from vggbatch.storage.filesystem import Folder


@dataclass
class FormatCount:
    """The input of one format."""

    format: str
    shards: int = 0
    """0 for files listed one by one."""
    images: int = 0
    bytes: int = 0
    exact: bool = True
    """Whether all images were counted; it is an estimate where that takes opening shards."""


@dataclass(frozen=True)
class Preview:
    """What would run."""

    job: Job
    formats: list[FormatCount]
    labels: LabelCount | None
    """Of the images that are listed; None without labels or where all are inside shards."""
    output: str
    """What would happen to the output."""
    executor: str
    """`local` or `ray`."""
    placement: Placement
    """On the cluster that would be joined, else on this machine."""
    pinning: str | None
    """How classifiers get cores of their own on this machine; None where a cluster decides."""
    input_warnings: tuple[InputWarning, ...]
    """What is odd about the input and its labels."""
    estimate: Estimate
    """How long it takes and what it needs."""
    notes: tuple[str, ...] = ()
    """What is odd about the cluster's nodes."""

    def to_json(self) -> dict[str, Any]:
        """What `vggbatch plan --json` prints."""
        job = self.job
        models = [
            {key: facts[key] for key in ("name", "sha256", "synthetic")}
            for facts in job.model_facts()
        ]
        return {
            "input": [asdict(count) for count in self.formats],
            "model": models[0],
            "ensemble": models[1:],
            "preprocess": {"profile": job.profile, **job.preprocess.model_dump(mode="json")},
            "assumptions": [asdict(assumption) for assumption in job.assumptions],
            "labels": asdict(self.labels) if self.labels is not None else None,
            "input_warnings": [asdict(found) for found in self.input_warnings],
            "executor": self.executor,
            "placement": self.placement.describe() if self.placement is not None else None,
            "pinning": self.pinning,
            "chunk_size": job.chunk_size,
            "output": {"uri": job.config.output, "state": self.output},
            "estimate": self.estimate.to_json(),
        }


def preview(
    job: Job, *, measure: bool = False, within: float | None = None, listing: float = 0.0
) -> Preview:
    """Check a job against its output and the cluster or this machine; nothing is left behind.

    Args:
        job: the checked job.
        measure: try it out on this machine for some seconds, for the estimate.
        within: seconds in which it is to be done, for the estimate.
        listing: seconds that it took to check and list the job, for the estimate.

    Raises:
        UsageError: the output is another job's, no image that is looked at can be scored, no
            classifier fits, or a node is not fit.
        VggbatchError: the cluster does not answer.
    """
    compute = job.config.compute
    output, done, left = _output(job)
    unusable = look_at_first(job)
    labels = count_labeled(job.shards, job.labels) if job.labels is not None else None
    notes: list[str] = []
    cores = None
    executor = chosen_executor(compute)
    if executor == "local" or compute.cluster_address is None:
        placement = check_own_machine(job, notes.append)
        cores = pinning() if compute.pin else "not pinned: compute.pin is off"
    else:
        from vggbatch.cluster.connection import ray_cluster
        from vggbatch.cluster.preflight import check

        with ray_cluster(compute, chunk_bytes=job.chunk_size * job.resized_bytes) as cluster:
            placement = check(job, cluster, notes.append)
    return Preview(
        job=job,
        formats=_formats(job.shards),
        labels=labels,
        input_warnings=(*job.input_warnings, *unusable),
        output=output,
        executor=executor,
        placement=placement,
        pinning=cores,
        notes=tuple(notes),
        estimate=estimate(
            left, placement, executor, done, measure=measure, within=within, listing=listing
        ),
    )


def _formats(shards: Iterable[Shard]) -> list[FormatCount]:
    counts: dict[str, FormatCount] = {}
    for shard in shards:
        count = counts.setdefault(shard.format, FormatCount(shard.format))
        count.shards += shard.members is None
        count.images += estimated_images(shard)
        count.bytes += max(0, shard.size)
        count.exact &= counted_images(shard) is not None
    return sorted(counts.values(), key=lambda count: count.format)


def _output(job: Job) -> tuple[str, int, Job]:
    """What would happen to the output, how many images it has, and of which job they are."""
    output = Output(Folder(job.config.output))
    if job.config.overwrite:
        check_confined(output.folder)
        return "what is there is deleted first", 0, job
    if (job.config.append or job.config.retry is not None) and output.succeeded():
        return _revised(job, output)
    if check_output(output, job) is None:
        return "new", 0, job
    if output.succeeded():
        return "complete: nothing is left to do", job.estimated_images, job
    check_continuable(output)
    rows = output.progress().rows
    return f"resumed: {rows:,} images are done", rows, job


def _revised(job: Job, output: Output) -> tuple[str, int, Job]:
    """The same of a complete output that is to be revised; the job is of what would be scored."""
    as_recorded, found = arranged(job, output)
    check_output(output, as_recorded)
    shards: list[Shard] = []
    if found is not None and job.config.retry is not None:
        shards, change = wanted_again(as_recorded, job.shards, output, found)
    elif found is not None and not found.same:
        shards, change = wanted(as_recorded, output, found)
    if not shards and (found is None or found.same or not change.going):
        return "complete: nothing is left to do", job.estimated_images, job
    left = replace(job, shards=tuple(shards))
    unopened = any(counted_images(shard) is None for shard in shards)
    about = f"{'about ' if unopened else ''}{left.estimated_images:,}"
    gone = change.counts.get("removed", 0)
    rows = f", the rows of {gone:,} images or shards go" if gone else ""
    return f"complete: {about} images are scored for it{rows}", 0, left
