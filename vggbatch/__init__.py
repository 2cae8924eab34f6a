"""Distributed batch scoring of images with the ONNX model zoo's VGG networks.

>>> import vggbatch
>>> vggbatch.score("images", output="out", model="vgg16-12-int8")  # doctest: +SKIP
>>> vggbatch.load_predictions("out").to_pandas()  # doctest: +SKIP

The functions are those behind the commands (see `vggbatch.api`); they are loaded when first used,
so that importing the package costs nothing.
"""

from vggbatch.process import disable_telemetry, leave_current_folder

leave_current_folder()  # before anything is imported that a file there could stand in for
disable_telemetry()  # onnxruntime looks when it is imported

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vggbatch.errors import JobFailed, UsageError, VggbatchError
from vggbatch.versions import __version__

if TYPE_CHECKING:
    from vggbatch.api import (
        Scored,
        compare,
        diagnose,
        evaluate,
        forget,
        leaderboard,
        load_predictions,
        load_run,
        merge,
        pack,
        plan,
        predict,
        pull,
        quantize,
        rescore,
        score,
        status,
        write_report,
    )
    from vggbatch.bench.benchmark import benchmark
    from vggbatch.config import JobConfig
    from vggbatch.submit import submit_job

__all__ = [
    "JobConfig",
    "JobFailed",
    "Scored",
    "UsageError",
    "VggbatchError",
    "__version__",
    "benchmark",
    "compare",
    "diagnose",
    "evaluate",
    "forget",
    "leaderboard",
    "load_predictions",
    "load_run",
    "merge",
    "pack",
    "plan",
    "predict",
    "pull",
    "quantize",
    "rescore",
    "score",
    "status",
    "submit_job",
    "write_report",
]


_ELSEWHERE = {
    "JobConfig": "vggbatch.config",
    "benchmark": "vggbatch.bench.benchmark",
    "submit_job": "vggbatch.submit",
}
"""Where what is not in `vggbatch.api` is."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_ELSEWHERE.get(name, "vggbatch.api")), name)
    raise AttributeError(f"module 'vggbatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
