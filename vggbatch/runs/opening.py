"""What an output is before a run: complete, or to be opened again."""

from __future__ import annotations

import logging

from vggbatch.job.job import Job
from vggbatch.output.layout import Output
from vggbatch.output.names import PROFILES, RUN, SUCCESS
from vggbatch.output.ownership.confined import check_confined
from vggbatch.output.progress import Progress
from vggbatch.output.verify import is_vouched, problems, unmarked
from vggbatch.runs.finish import run_of
from vggbatch.runs.resume import check_output

_log = logging.getLogger(__name__)

_SHOWN = 3
"""Lines about what is damaged, at most."""


def whole_progress(output: Output, job: Job, *, metrics: bool) -> Progress | None:
    """What is committed where nothing is left to do, after a look at all that the output names.

    None where something is left.
    """
    check_confined(output.folder)
    if not output.succeeded() or output.read_plan() is None:
        return None
    check_output(output, job)  # another job's output is not made whole
    progress = None
    wrong = problems(output.folder)
    if not wrong:
        progress = output.progress()
        wrong = unmarked(output, progress)
    for line in wrong[:_SHOWN]:
        _log.warning("%s: %s: it is made again", output.folder.uri, line)
    if len(wrong) > _SHOWN:
        _log.warning("%s: so are %d more", output.folder.uri, len(wrong) - _SHOWN)
    if wrong or (metrics and output.read_run()["metrics"] is None):
        return None
    return progress


def reopen(output: Output, progress: Progress) -> None:
    """Take back what an earlier run declared, and remove what killed ones have left."""
    for name in ("", *output.folder.folders(PROFILES)):
        place = output.fence_of(name)
        vouched = is_vouched(output.profile(name) if name else output.folder)
        place.delete(SUCCESS)
        if not vouched or run_of(output, name) is None:
            place.delete(RUN)
    output.drop_other_plans(output.plan_id)
    output.drop_partial_files()
    for line in progress.lost[:_SHOWN]:
        _log.warning("%s: %s: its images are scored again", output.folder.uri, line)
