"""What a job would do, found out without doing it: for `vggbatch plan`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from vggbatch.classifier.cores import pinning
from vggbatch.errors import UsageError
from vggbatch.pipeline.fitness import check_own_machine
from vggbatch.pipeline.job import Job
from vggbatch.pipeline.placement import Placement
from vggbatch.pipeline.resume import check_output
from vggbatch.pipeline.state import Output
from vggbatch.pipeline.total import counted_images, estimated_images
from vggbatch.sources import Labels, Shard, Surprise, surprise
from vggbatch.storage import Folder

UNLABELLED = "images without a label"
UNUSED = "labels without an image"


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
class LabelCount:
    """How labels and listed images fit together."""

    matched: int
    unmatched: int


@dataclass(frozen=True)
class Preview:
    """What would run."""

    job: Job
    formats: list[FormatCount]
    labels: LabelCount | None
    """Of the images that are listed; None without labels or where all are inside shards."""
    output: str
    """What would happen to the output."""
    placement: Placement
    """On the cluster that would be joined, else on this machine."""
    pinning: str | None
    """How classifiers get cores of their own on this machine; None where a cluster decides."""
    surprises: tuple[Surprise, ...]
    """What is odd about the input and its labels."""
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
            "labels": asdict(self.labels) if self.labels is not None else None,
            "surprises": [asdict(found) for found in self.surprises],
            "placement": self.placement.describe() if self.placement is not None else None,
            "pinning": self.pinning,
            "chunk_size": job.chunk_size,
            "output": {"uri": job.config.output, "state": self.output},
        }


def preview(job: Job) -> Preview:
    """Check a job against its output and the cluster or this machine; nothing is left behind.

    Raises:
        UsageError: the output is another job's, no classifier fits, or a node is not fit.
        VggbatchError: the cluster does not answer.
    """
    compute = job.config.compute
    output = _output(job)
    labels, odd = _labels(job.shards, job.labels) if job.labels is not None else (None, ())
    notes: list[str] = []
    cores = None
    if compute.cluster_address is None:
        placement = check_own_machine(job)
        cores = pinning() if compute.pin else "not pinned: compute.pin is off"
    else:
        from vggbatch.pipeline.cluster import ray_cluster
        from vggbatch.pipeline.preflight import check

        with ray_cluster(compute, chunk_bytes=job.chunk_size * job.picture_bytes) as cluster:
            placement = check(job, cluster, notes.append)
    return Preview(
        job=job,
        formats=_formats(job.shards),
        labels=labels,
        surprises=(*job.surprises, *odd),
        output=output,
        placement=placement,
        pinning=cores,
        notes=tuple(notes),
    )


def check_labelled(job: Job) -> None:
    """Make sure that labels which were asked for are of these images, as far as they are listed.

    Raises:
        UsageError: none of the images has one.
    """
    if job.labels is None or any(shard.members is None for shard in job.shards):
        return
    ids: list[str] = []
    for shard in job.shards:
        assert shard.members is not None
        ids += shard.image_ids(shard.members)
        found = job.labels.match(ids[-len(shard.members) :], shard.members["label"].to_pylist())
        if found.null_count < len(found):
            return
    raise UsageError(
        f"no image has a label in {job.row_labels}; the first of {len(ids):,} images is {ids[0]}"
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


def _labels(
    shards: Iterable[Shard], labels: Labels
) -> tuple[LabelCount | None, tuple[Surprise, ...]]:
    """How many listed images have a label, and which labels and images have no other half."""
    ids: list[str] = []
    unmatched: list[str] = []
    everything = True
    for shard in shards:
        if shard.members is None:
            everything = False
            continue
        found = shard.image_ids(shard.members)
        missing = labels.match(found, shard.members["label"].to_pylist()).is_null().to_pylist()
        ids += found
        unmatched += [name for name, absent in zip(found, missing, strict=True) if absent]
    if not ids:
        return None, ()
    odd = [surprise(UNLABELLED, unmatched)] if unmatched else []
    if everything and (unused := labels.without_image(ids)):
        odd.append(surprise(UNUSED, unused))
    return LabelCount(len(ids) - len(unmatched), len(unmatched)), tuple(odd)


def _output(job: Job) -> str:
    output = Output(Folder(job.config.output))
    if job.config.overwrite:
        return "what is there is deleted first"
    if check_output(output, job) is None:
        return "new"
    if output.succeeded():
        return "complete: nothing is left to do"
    return f"resumed: {output.progress().rows:,} images are done"
