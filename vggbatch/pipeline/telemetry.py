"""What a run reports of itself to those who operate it: Prometheus metrics and log lines.

The driver counts from receipts, of which each committed chunk gives one, so the counters are exact:
no image is counted twice, whatever was repeated. Ray exports them from the driver's node, each name
with `ray_` in front, at the port that `ray.nodes()` gives as MetricsExportPort.
"""

from __future__ import annotations

from typing import Any

from ray.util.metrics import Counter, Gauge

from vggbatch.pipeline.chunk import ChunkKey
from vggbatch.pipeline.runlog import RunLogger, chunk_fields
from vggbatch.pipeline.stages import STAGES, Stage, read_stages
from vggbatch.pipeline.stats import Stats
from vggbatch.pipeline.tally import Tally
from vggbatch.storage import public_uri

SECONDS = {
    "fetch": "fetch_seconds",
    "decode": "decode_seconds",
    "infer": "infer_seconds",
    "write": "write_seconds",
}
"""Value of the label `stage` -> the field of Stats."""


class Telemetry:
    """The metrics and log lines of one run, while Ray is connected.

    Args:
        run_id: of this run, as run.json has it.
        output: URI of the output, without what may be secret a label of every metric.
        tally: of the run, which may have begun before Ray was there.
    """

    def __init__(self, run_id: str, output: str, tally: Tally) -> None:
        self.log = RunLogger(__name__, run_id)
        self._tags = {"run_id": run_id, "output": public_uri(output)}
        self._tally = tally
        self._images = self._counter("images", "Images whose rows are committed.")
        self._errors = self._counter("errors", "Committed error rows, by kind.", "kind")
        self._bytes = self._counter("image_bytes", "Bytes of the images, as they were read.")
        self._chunks = self._counter("chunks", "Chunks that are committed.")
        self._failures = self._counter("chunk_failures", "Chunks that came back failed.", "stage")
        self._seconds = self._counter(
            "stage_seconds", "Seconds of one core or one classifier spent on a stage.", "stage"
        )
        self._waiting = self._gauge("queue_chunks", "Chunks in front of a stage.", "stage")
        self._running = self._gauge("running_chunks", "Chunks that a stage has in work.", "stage")
        self._actors = self._gauge("classifiers", "Classifiers, ready and pending.", "state")
        self._total = self._gauge("images_expected", "Images in all, as far as known.")
        self._safe = self._gauge("images_safe", "Images in the output, earlier runs' included.")
        self._count(tally.stats, tally.chunks)

    def __enter__(self) -> Telemetry:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sample()
        self._show({name: Stage(0, 0) for name in STAGES})

    def placed(self, placement: dict[str, Any]) -> None:
        """The run's shape on the cluster is decided."""
        self.log.info("classifiers placed", extra={"placement": placement})

    def pass_started(self, shards: int, *, isolate: bool) -> None:
        """A pass over the shards that are left begins."""
        self.log.info("pass started", extra={"shards_left": shards, "isolate": isolate})

    def committed(self, stats: Stats) -> None:
        """A chunk is committed for the first time."""
        self._count(stats, 1)

    def failed(self, key: ChunkKey, reason: str) -> None:
        """A chunk came back without rows; the reason begins with the stage's name."""
        stage = reason.partition(":")[0]
        self._failures.inc(1, {"stage": stage})
        self.log.info("chunk failed", extra={**chunk_fields(key), "failure": reason})

    def group_closed(self, group: int, rows: int) -> None:
        """A group's predictions files are written."""
        self.log.info("group closed", extra={"group": group, "rows": rows})

    def sample(self) -> None:
        """Set the gauges: what stands where at this moment."""
        snapshot = self._tally.snapshot()
        self._safe.set(snapshot.rows)
        self._total.set(snapshot.total)
        self._show(read_stages() or {})

    def _count(self, stats: Stats, chunks: int) -> None:
        # a counter takes no 0
        if chunks:
            self._chunks.inc(chunks)
        if stats.rows:
            self._images.inc(stats.rows)
        if stats.image_bytes:
            self._bytes.inc(stats.image_bytes)
        for kind, count in stats.errors.items():
            self._errors.inc(count, {"kind": kind})
        for stage, name in SECONDS.items():
            if seconds := getattr(stats, name):
                self._seconds.inc(seconds, {"stage": stage})

    def _show(self, stages: dict[str, Stage]) -> None:
        for name, stage in stages.items():
            self._waiting.set(stage.waiting, {"stage": name})
            self._running.set(stage.running, {"stage": name})
            if name == "classify":
                self._actors.set(stage.actors, {"state": "ready"})
                self._actors.set(stage.pending, {"state": "pending"})

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        counter = Counter(f"vggbatch_{name}_total", description, (*self._tags, *labels))
        counter.set_default_tags(self._tags)
        return counter

    def _gauge(self, name: str, description: str, *labels: str) -> Gauge:
        gauge = Gauge(f"vggbatch_{name}", description, (*self._tags, *labels))
        gauge.set_default_tags(self._tags)
        return gauge
