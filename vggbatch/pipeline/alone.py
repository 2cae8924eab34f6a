"""What a head start is given, and whether it may go on to the end without Ray."""

from __future__ import annotations

from collections.abc import Callable

from vggbatch.config import ComputeOptions
from vggbatch.models.prepare import is_prepared
from vggbatch.pipeline.chunk import ChunkKey, NumberedShard
from vggbatch.pipeline.headstart import HeadStart
from vggbatch.pipeline.job import Job
from vggbatch.pipeline.local import Work
from vggbatch.pipeline.pipeline import Scoring
from vggbatch.pipeline.placement import Placement
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.tally import Tally
from vggbatch.pipeline.total import estimated_images

_IMAGES = 20_000
"""Images that a head start is given at most: it indexes their shards."""
_CLASSIFIERS = 8
"""Classifiers in one process at most: beyond, Python's lock makes them wait for each other."""
_OTHER_NODES = 10.0
"""Seconds of work at most that are done alone beside classifiers that Ray could start elsewhere: it
takes five until they have a chunk, and two to be imported and ended (measured)."""


def opens_at_once(job: Job) -> bool:
    """Whether this machine has the networks' files, so that to open them leaves nothing behind."""
    crops, config = job.protocol.crops is not None, job.config
    features = config.features is not None
    return all(
        (not crops or is_prepared(model, cache_dir=config.cache_dir, features=features))
        and (not job.protocol.dense or is_prepared(model, cache_dir=config.cache_dir, dense=True))
        for model in job.models
    )


def first_work(
    numbered: list[NumberedShard], tally: Tally, scoring: Scoring, cores: int, *, gives_way: bool
) -> Work:
    """What a head start begins with: more than it could do before Ray is worth its start.

    Args:
        numbered: the run's input.
        tally: knows what is committed.
        scoring: how.
        cores: of this machine that may be used.
        gives_way: leave them to a Ray that is about to start there.
    """
    shards: list[NumberedShard] = []
    images = 0
    for shard in tally.progress.left(numbered):
        if images >= _IMAGES:
            break
        shards.append(shard)
        images += estimated_images(shard[2])
    return Work(
        scoring,
        tally.progress.to_score(shards),
        classifiers=classifiers_on(cores, scoring),
        gives_way=gives_way,
    )


def classifiers_on(cores: int, scoring: Scoring) -> int:
    """Classifiers that a head start gets."""
    return max(1, min(cores // scoring.threads, _CLASSIFIERS))


def seconds_alone(compute: ComputeOptions, work: Work, placement: Placement) -> float:
    """For how many seconds of work a head start needs no Ray.

    Args:
        compute: the user's limit.
        work: what the head start was given.
        placement: what Ray would make of the run: on more cores than these, it is soon worth it.
    """
    if work.classifiers >= placement.actors:
        return compute.ray_after
    return min(compute.ray_after, _OTHER_NODES)


def score_alone(
    head: HeadStart,
    numbered: list[NumberedShard],
    tally: Tally,
    limit: float,
    notify: Callable[[], None],
    committed: Callable[[Stats], None] | None = None,
) -> bool:
    """Let a head start go on for as long as it is expected to do all within `limit` seconds.

    Args:
        head: has begun.
        numbered: the run's input.
        tally: counts what is committed.
        limit: seconds of work that are left at most; 0: none.
        notify: called after chunks that were committed.
        committed: called with what was counted of each of them.

    Returns:
        Whether all shards are complete.
    """
    head.heard()  # until now the model may have been prepared
    while limit and not head.ended:
        receipts = head.receipts(seconds=0.5)
        head.end_if_silent()
        for receipt in receipts:
            stats = Stats.from_json(receipt["stats"])
            if tally.commit(ChunkKey.of(receipt), stats) and committed:
                committed(stats)
        if receipts:
            notify()
        if head.seconds_left(tally.total.images - tally.progress.rows) > limit:
            break
    return not tally.progress.left(numbered)
