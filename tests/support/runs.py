"""Runs step by step, scored in this process unless a test brings an executor."""

from contextlib import contextmanager

from tests.support.here import Here
from vggbatch.config import load_config
from vggbatch.job.job import prepare_job
from vggbatch.runs.finish import finish
from vggbatch.runs.run import run


def job(net, folder, output, *settings):
    values = {"input": (str(folder),), "model": str(net), "output": str(output)}
    return prepare_job(
        load_config(options=values, settings=("chunk_size=4", *settings), environ={})
    )


@contextmanager
def scored(job, on_progress=None, executor=None):
    with run(job, executor or Here(), on_progress) as result:
        yield result


def score(job, on_progress=None, executor=None):
    """Scored, and killed before it is finished."""
    with scored(job, on_progress, executor) as result:
        return result


def complete(job):
    with scored(job) as result:
        return finish(job, result)
