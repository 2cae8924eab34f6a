"""Commands sent to a Ray cluster as Ray Jobs.

A job is `python -m vggbatch ...` with the words of any command, run on the cluster's head node
unless resources were asked for. All state is in the command's output, so to resume is to submit the
same command again.
"""

from vggbatch.submit.job import SubmittedJob, submit_job
from vggbatch.submit.jobs import RayJobs, Submitted
from vggbatch.submit.submission import Submission, environment

__all__ = ["RayJobs", "Submission", "Submitted", "SubmittedJob", "environment", "submit_job"]
