"""A job that is checked and estimated before anything runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vggbatch.api.checked import checked_job
from vggbatch.config import Input, JobOptions, job_config
from vggbatch.preprocess.pillow_globals import kept_globals
from vggbatch.runs.planning.dry_run import Preview, preview

if TYPE_CHECKING:
    from typing import Unpack


@kept_globals()
def plan(
    input: Input,
    *,
    measure: bool = False,
    within: float | None = None,
    **options: Unpack[JobOptions],
) -> Preview:
    """Check a job as `score` would, and say what would run and what it takes; nothing is written.

    >>> found = plan("images", output="elsewhere", model="net.onnx")
    >>> found.output, sum(count.images for count in found.formats)
    ('new', 3)

    Args:
        input: the images, or a whole job.
        measure: score a few of the images on this machine for some seconds, so that the estimate
            says how long the job takes; a small network is prepared for it.
        within: seconds in which it is to be done: the estimate says with how many cores.
        **options: the job's settings.

    Raises:
        UsageError: the job is impossible as asked.
    """
    started = time.perf_counter()
    config = job_config(input, options)
    config.compute.check_address()
    job = checked_job(config)
    listing = time.perf_counter() - started
    return preview(job, measure=measure, within=within, listing=listing)
