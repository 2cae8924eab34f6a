"""A few images, scored at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from vggbatch.config import Input, JobOptions, job_config
from vggbatch.job.job import Job, prepare_job
from vggbatch.job.predict import predict as predict_job
from vggbatch.preprocess.pillow_globals import kept_globals

if TYPE_CHECKING:
    from typing import Unpack


@kept_globals()
def predict(
    input: Input, *, announce: Callable[[Job], None] | None = None, **options: Unpack[JobOptions]
) -> pa.Table:
    """The predictions of a few images, in this process and without Ray.

    >>> table = predict("images/00001.jpg", model="net.onnx")
    >>> len(table["top5_synset"][0])
    5

    Args:
        input: the images, or a whole job.
        announce: called with the checked job before anything runs.
        **options: the job's settings.

    Returns:
        A table of image_id, error, and lists top5_index, top5_probability, top5_synset, one row an
        image in input order.
    """
    job = prepare_job(job_config(input, options))
    if announce:
        announce(job)
    return predict_job(job)
