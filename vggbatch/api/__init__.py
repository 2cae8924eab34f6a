"""What the commands do, for Python; `import vggbatch` offers the same functions.

The module of a function is loaded when the function is first used: no function needs the modules of
all the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vggbatch.api.changes import forget, merge
    from vggbatch.api.comparisons import compare, leaderboard
    from vggbatch.api.diagnosis import Diagnosis, diagnose
    from vggbatch.api.jobs import Scored, evaluate, score
    from vggbatch.api.networks import pull, quantize
    from vggbatch.api.outputs import (
        load_predictions,
        load_run,
        rescore,
        status,
        write_report,
    )
    from vggbatch.api.packing import pack
    from vggbatch.api.planning import plan
    from vggbatch.api.prediction import predict

_MODULES = {
    "changes": ("forget", "merge"),
    "comparisons": ("compare", "leaderboard"),
    "diagnosis": ("Diagnosis", "diagnose"),
    "jobs": ("Scored", "evaluate", "score"),
    "networks": ("pull", "quantize"),
    "outputs": ("load_predictions", "load_run", "rescore", "status", "write_report"),
    "packing": ("pack",),
    "planning": ("plan",),
    "prediction": ("predict",),
}

__all__ = [
    "Diagnosis",
    "Scored",
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
    "write_report",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"vggbatch.api.{module}"), name)
    raise AttributeError(f"module 'vggbatch.api' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
