"""The checks that come before whatever has an output."""

from __future__ import annotations

from dataclasses import replace

from vggbatch import uris
from vggbatch.config import JobConfig
from vggbatch.errors import UsageError
from vggbatch.job.job import Job, prepare_job
from vggbatch.job.label_check import check_labeled
from vggbatch.metrics.sets import check_subsets
from vggbatch.storage.filesystem import Folder


def checked_job(config: JobConfig) -> Job:
    """The job of a configuration, as everything that has an output needs it.

    Raises:
        UsageError: it is impossible as asked, or has no output.
    """
    if not config.output:
        raise UsageError("no output: name a folder or URI with -o OUTPUT")
    # an unknown protocol shows before anything is listed
    uris.check_utf8(Folder(config.output).uri)
    job = prepare_job(config)
    check_subsets(config.labels, job.model.classes)
    return replace(job, input_warnings=(*job.input_warnings, *check_labeled(job)))
