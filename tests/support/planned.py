"""Jobs that are planned."""

from vggbatch.config import load_config
from vggbatch.job.job import prepare_job


def job(net, output, *inputs, **options):
    values = {"input": tuple(map(str, inputs)), "model": str(net), "output": str(output)}
    return prepare_job(load_config(options={**values, **options}, environ={}))
