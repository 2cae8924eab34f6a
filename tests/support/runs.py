"""Runs step by step, by worker processes of this machine."""

from contextlib import contextmanager

from vggbatch.config import ComputeOptions, load_config
from vggbatch.executors.choose import executor_for
from vggbatch.job.job import prepare_job
from vggbatch.runs.finish import finish
from vggbatch.runs.run import run


def job(net, folder, output, *settings):
    values = {"input": (str(folder),), "model": str(net), "output": str(output)}
    return prepare_job(
        load_config(options=values, settings=("chunk_size=4", *settings), environ={})
    )


@contextmanager
def scored(job, on_progress=None):
    with (
        executor_for(ComputeOptions(executor="local")) as executor,
        run(job, executor, on_progress) as result,
    ):
        yield result


def score(job, on_progress=None):
    """Scored, and killed before it is finished."""
    with scored(job, on_progress) as result:
        return result


def complete(job):
    with scored(job) as result:
        return finish(job, result)
