"""What a benchmark keeps while it continues: a measurement a line, and what was asked for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vggbatch import json_text
from vggbatch.bench.measure import Measurement
from vggbatch.errors import UsageError

_PLAN = "plan.json"
_MEASUREMENTS = "measurements.jsonl"


@dataclass
class Record:
    """The measurements in an output folder."""

    folder: Path
    measurements: list[Measurement] = field(default_factory=list)
    best: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """Network -> system -> batch and sessions with which onnxruntime alone is fastest."""
    prepare_seconds: dict[str, float] = field(default_factory=dict)
    """Network -> what preparing it took, where this benchmark did that."""

    @staticmethod
    def open(folder: Path, settings: dict[str, Any]) -> Record:
        """What is in a folder of a benchmark with these settings; more rounds may be asked for.

        Raises:
            UsageError: it has a benchmark with others.
        """
        wanted = json.loads(json.dumps(settings))
        path = folder / _PLAN
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(
                json.dumps({"settings": wanted, "best": {}, "prepare_seconds": {}}, indent=1)
            )
            return Record(folder)
        try:
            return Record._continued(folder, wanted)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{folder} has no benchmark that can be continued ({error}): name another folder "
                "with -o"
            ) from None

    @staticmethod
    def _continued(folder: Path, wanted: dict[str, Any]) -> Record:
        plan = json_text.parse((folder / _PLAN).read_text())
        before = plan["settings"]
        other = [key for key in wanted if key != "rounds" and before.get(key) != wanted[key]]
        if other:
            was = ", ".join(f"{key} was {before.get(key)}" for key in other)
            raise UsageError(f"{folder} has another benchmark ({was}): name another folder with -o")
        record = Record(folder, best=plan["best"], prepare_seconds=plan["prepare_seconds"])
        if (folder / _MEASUREMENTS).exists():
            lines = (folder / _MEASUREMENTS).read_text().splitlines(keepends=True)
            # the last line may be cut where the process was killed
            whole = [line for line in lines if line.endswith("\n")]
            (folder / _MEASUREMENTS).write_text("".join(whole))
            record.measurements = [Measurement(**json_text.parse(line)) for line in whole]
        return record

    def has(self, number: int, network: str, system: str) -> bool:
        """Whether a measurement is there."""
        key = (number, network, system)
        return any((m.round, m.network, m.system) == key for m in self.measurements)

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement."""
        self.measurements.append(measurement)
        with (self.folder / _MEASUREMENTS).open("a") as file:
            file.write(json.dumps(asdict(measurement)) + "\n")

    def keep_best(self, network: str, system: str, best: dict[str, int]) -> None:
        """Keep what a search has found."""
        self.best.setdefault(network, {})[system] = best
        self._write()

    def keep_prepare_seconds(self, network: str, seconds: float) -> None:
        """Keep what preparing took: when the benchmark continues it is in the cache."""
        self.prepare_seconds[network] = seconds
        self._write()

    def _write(self) -> None:
        plan = json.loads((self.folder / _PLAN).read_text())
        found = {"best": self.best, "prepare_seconds": self.prepare_seconds}
        (self.folder / _PLAN).write_text(json.dumps(plan | found, indent=1))
