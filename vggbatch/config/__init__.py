"""What a job is asked to do: the validated configuration and how it is read."""

from vggbatch.config.keywords import Input, JobOptions, Location, job_config
from vggbatch.config.load import known_keys, load_config, load_label_options, validate
from vggbatch.config.protocol import Protocol
from vggbatch.config.schema import (
    ColumnOptions,
    ComputeOptions,
    DecodeOptions,
    IndexOptions,
    JobConfig,
    LabelOptions,
    ModelOptions,
    Preprocess,
)
from vggbatch.config.selection import Selection

__all__ = [
    "ColumnOptions",
    "ComputeOptions",
    "DecodeOptions",
    "IndexOptions",
    "Input",
    "JobConfig",
    "JobOptions",
    "LabelOptions",
    "Location",
    "ModelOptions",
    "Preprocess",
    "Protocol",
    "Selection",
    "job_config",
    "known_keys",
    "load_config",
    "load_label_options",
    "validate",
]
