"""The Prometheus metrics of a run on a Ray cluster.

The driver counts chunks when it commits them for the first time, so the counters are exact: no
image is counted twice, whatever was repeated. Ray exports them from the driver's node, each name
with `ray_` in front, at the port that `ray.nodes()` gives as MetricsExportPort. The gauges of the
stages are those of executors/ray_data/gauges.py.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.stats import Stats
from vggbatch.runs.progress.events import RunEvents
from vggbatch.runs.progress.tracker import RunTracker
from vggbatch.storage.filesystem import public_uri

SECONDS = {
    "fetch": "fetch_seconds",
    "decode": "decode_seconds",
    "infer": "infer_seconds",
    "write": "write_seconds",
}
"""Value of the label `stage` -> the field of Stats."""


class Telemetry(RunEvents):
    """The metrics and log lines of one run, while Ray is connected.

    Args:
        run_id: of this run, as run.json has it.
        output: URI of the output, without what may be secret a label of every metric.
        tracker: of the run.
    """

    def __init__(self, run_id: str, output: str, tracker: RunTracker) -> None:
        super().__init__(run_id)
        self._tags = tags_of(run_id, output)
        self._tracker = tracker
        self._images = self._counter("images", "Images whose rows are committed.")
        self._errors = self._counter("errors", "Committed error rows, by kind.", "kind")
        self._bytes = self._counter("image_bytes", "Bytes of the images, as they were read.")
        self._chunks = self._counter("chunks", "Chunks that are committed.")
        self._failures = self._counter("chunk_failures", "Chunks that came back failed.", "stage")
        self._seconds = self._counter(
            "stage_seconds", "Seconds of one core or one classifier spent on a stage.", "stage"
        )
        self._total = gauge("images_expected", "Images in all, as far as known.", self._tags)
        self._safe = gauge(
            "images_safe", "Images in the output, earlier runs' included.", self._tags
        )
        self._sample()

    def __exit__(self, *exception: object) -> None:
        self._sample()

    def committed(self, stats: Stats) -> None:
        """A chunk is committed for the first time."""
        self._chunks.inc(1)
        # a counter takes no 0
        if stats.rows:
            self._images.inc(stats.rows)
        if stats.image_bytes:
            self._bytes.inc(stats.image_bytes)
        for kind, count in stats.errors.items():
            self._errors.inc(count, {"kind": kind})
        for stage, name in SECONDS.items():
            if seconds := getattr(stats, name):
                self._seconds.inc(seconds, {"stage": stage})
        self._sample()

    def failed(self, key: ChunkKey, reason: str) -> None:
        """A chunk came back without rows; the reason begins with the stage's name."""
        super().failed(key, reason)
        self._failures.inc(1, {"stage": reason.partition(":")[0]})

    def _sample(self) -> None:
        snapshot = self._tracker.snapshot()
        self._safe.set(snapshot.rows)
        self._total.set(snapshot.total)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        counter = Counter(f"vggbatch_{name}_total", description, (*self._tags, *labels))
        counter.set_default_tags(self._tags)
        return counter


def tags_of(run_id: str, output: str) -> dict[str, str]:
    """The labels that every metric of a run has."""
    return {"run_id": run_id, "output": public_uri(output)}


def gauge(name: str, description: str, tags: dict[str, str], *labels: str) -> Gauge:
    """A gauge of a run."""
    made = Gauge(f"vggbatch_{name}", description, (*tags, *labels))
    made.set_default_tags(tags)
    return made
