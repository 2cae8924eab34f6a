"""The configuration of a job as tests ask for one: nothing of the environment, small chunks."""

from vggbatch.config import JobConfig, load_config


def configure(net, output, inputs, *settings: str, **options) -> JobConfig:
    """A job over inputs, with `key=value` settings and named options."""
    values = {"input": (str(inputs),), "model": str(net), "output": str(output), **options}
    return load_config(options=values, settings=("chunk_size=8", *settings), environ={})
