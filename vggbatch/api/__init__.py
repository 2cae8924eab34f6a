"""What the commands do, for Python; `import vggbatch` offers the same functions."""

from vggbatch.api.changes import forget, merge
from vggbatch.api.comparisons import compare, leaderboard
from vggbatch.api.diagnosis import Diagnosis, diagnose
from vggbatch.api.jobs import Scored, evaluate, plan, predict, score
from vggbatch.api.networks import pull, quantize
from vggbatch.api.outputs import (
    load_predictions,
    load_run,
    rescore,
    status,
    write_report,
)
from vggbatch.api.packing import pack
from vggbatch.config import JobConfig

__all__ = [
    "Diagnosis",
    "JobConfig",
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
