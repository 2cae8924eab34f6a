"""The stages of a run as Prometheus gauges, which Ray exports."""

from __future__ import annotations

from ray.util.metrics import Gauge

from vggbatch.executors.ray_data.stages import STAGES, Stage
from vggbatch.storage.filesystem import public_uri


class StageGauges:
    """Where the chunks of a run are.

    Args:
        run_id: of this run, as run.json has it.
        output: URI of the output, without what may be secret a label of every metric.
    """

    def __init__(self, run_id: str, output: str) -> None:
        tags = {"run_id": run_id, "output": public_uri(output)}

        def gauge(name: str, description: str, label: str) -> Gauge:
            made = Gauge(f"vggbatch_{name}", description, (*tags, label))
            made.set_default_tags(tags)
            return made

        self._waiting = gauge("queue_chunks", "Chunks in front of a stage.", "stage")
        self._running = gauge("running_chunks", "Chunks that a stage has in work.", "stage")
        self._actors = gauge("classifiers", "Classifiers, ready and pending.", "state")

    def show(self, stages: dict[str, Stage]) -> None:
        """Set the gauges."""
        for name, stage in stages.items():
            self._waiting.set(stage.waiting, {"stage": name})
            self._running.set(stage.running, {"stage": name})
            if name == "classify":
                self._actors.set(stage.actors, {"state": "ready"})
                self._actors.set(stage.pending, {"state": "pending"})

    def rest(self) -> None:
        """Set them to what holds when nothing is left."""
        self.show({name: Stage(0, 0) for name in STAGES})
