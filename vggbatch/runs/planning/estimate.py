"""How long a job takes and what it needs, from a short trial of it (trial.py) and its size."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from vggbatch import uris
from vggbatch.cluster.node_requirements import memory_of_node, needs_of
from vggbatch.cluster.placement import Placement
from vggbatch.job.job import Job
from vggbatch.output.image_total import estimated_images
from vggbatch.output.ownership.lease import INTERVAL
from vggbatch.runs.planning.trial import NotMeasured, Trial, try_out

_FINISH_S = 1.0
"""From the last image to _SUCCESS: files written together and synced, metrics (measured)."""
_RAY_START = 3.5
"""Starts of the local executor that Ray takes on top of one, for the processes of its first actors
and tasks: 15 s in all on two cores on which the local one takes 3.3 s (measured)."""
_RAY_OF_ITS_OWN = 1.0
"""Further ones where a run starts Ray itself: 19 s in all there."""
_RAY_IMAGE_S = 0.006
"""Core seconds of an image that Ray's transport takes (docs/speed.md: on two cores 198 images/s
of a network that hardly computes, instead of 481)."""
_LISTED = 1000
"""Objects in one answer of a store that is listed."""
_TOGETHER = 2**20
"""Bytes of a shard that are asked for in one request (see storage/ranges.py)."""


@dataclass(frozen=True)
class Requests:
    """To stores, about; those to a disk or a server of files are none of them."""

    input_reads: int
    """Answers to listings and ranges of bytes."""
    output_writes: int
    output_reads: int
    """Among them who owns the output, which is read before each write and deletion."""
    output_deletions: int


@dataclass(frozen=True)
class Estimate:
    """What a job takes. All that depends on the rate is None where nothing was measured."""

    images: int
    """That are left to score."""
    memory_bytes: int
    """On each node, at most: networks, classifiers, and images while they are decoded."""
    requests: Requests
    cores: int
    """That classifiers have, all nodes together."""
    trial: Trial | None = None
    not_measured: str | None = None
    """Why nothing was measured."""
    prepare_seconds: float | None = None
    """To get the networks ready, once on each machine."""
    start_seconds: float | None = None
    """To list the input, to start and connect processes and to open the networks."""
    score_seconds: float | None = None
    finish_seconds: float | None = None
    output_bytes: int | None = None
    """Of the predictions files."""
    within_seconds: float | None = None
    """The deadline that was asked about."""
    cores_within: int | None = None
    """Cores with which it is met; None where no number of them does."""

    @property
    def seconds(self) -> float | None:
        """From the start of the command to its end."""
        parts = (
            self.prepare_seconds,
            self.start_seconds,
            self.score_seconds,
            self.finish_seconds,
        )
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    @property
    def core_hours(self) -> float | None:
        """That all cores of the run are taken for."""
        return None if self.seconds is None else self.cores * self.seconds / 3600

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "seconds": self.seconds, "core_hours": self.core_hours}


def estimate(
    job: Job,
    placement: Placement,
    executor: str,
    done: int,
    *,
    measure: bool = True,
    within: float | None = None,
    listing: float = 0.0,
) -> Estimate:
    """Say what a job takes.

    Args:
        job: the checked job.
        placement: where it would run.
        executor: `local` or `ray`.
        done: images that are scored already.
        measure: try it out on this machine for some seconds.
        within: seconds in which it is to be done.
        listing: seconds that it took to check the job and to list its input.
    """
    images = max(0, job.estimated_images - done)
    needs = needs_of(job)
    per_node = -(-placement.max_actors // max(1, placement.nodes))
    if placement.elastic:
        per_node = -(-placement.actors // max(1, placement.nodes))
    trial, reason = None, None if measure else "it was not asked for"
    try:
        trial = try_out(job, needs.model_bytes) if measure and images else None
    except NotMeasured as error:
        reason = str(error)
    known: dict[str, Any] = {}
    cores = placement.actors * placement.threads
    if trial is not None:
        on_ray = executor == "ray"
        start = listing + trial.start_seconds * (1 + on_ray * _ray_starts(job))
        fixed = trial.prepare_seconds + start + _FINISH_S
        work = images * (trial.core_seconds + on_ray * _RAY_IMAGE_S)
        known = {
            "prepare_seconds": trial.prepare_seconds,
            "start_seconds": start,
            "score_seconds": work / cores,
            "finish_seconds": _FINISH_S,
            "output_bytes": round(images * trial.row_bytes),
        }
        if within is not None and within > fixed:
            known["cores_within"] = max(1, math.ceil(work / (within - fixed)))
    seconds = known.get("score_seconds", 0.0)
    return Estimate(
        images=images,
        memory_bytes=memory_of_node(needs, per_node),
        requests=_requests(job, images, seconds),
        cores=cores,
        trial=trial,
        not_measured=reason,
        within_seconds=within,
        **known,
    )


def _ray_starts(job: Job) -> float:
    own = job.config.compute.cluster_address is None
    return _RAY_START + own * _RAY_OF_ITS_OWN


def _requests(job: Job, images: int, seconds: float) -> Requests:
    reads = 0
    if not all(map(uris.is_local, job.config.input)):
        loose = sum(len(shard.members) for shard in job.shards if shard.members is not None)
        closed = [shard for shard in job.shards if shard.members is None]
        size = sum(max(0, shard.size) for shard in closed)
        reads = -(-(loose + len(closed)) // _LISTED) + loose + len(closed) + size // _TOGETHER
        # the header of each member is read by itself
        reads += sum(estimated_images(shard) for shard in closed if shard.format == "tar")
    if uris.is_local(job.config.output):
        return Requests(reads, 0, 0, 0)
    chunks = -(-images // job.chunk_size)
    files = -(-images // job.rows_per_file) * len(job.recipes)
    writes = chunks + 2 * files + round(seconds / INTERVAL)
    return Requests(reads, writes, writes + 2 * chunks, chunks)
