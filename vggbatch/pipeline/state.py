"""What a run leaves in OUTPUT, and what the next run learns from it.

    OUTPUT/predictions/part-GGGGGG[-F].parquet   the rows of group G, written once it is complete
    OUTPUT/run.json, _SUCCESS                    last of all
    OUTPUT/_vggbatch/plan.json                   what was asked for, in full
    OUTPUT/_vggbatch/shards.parquet              the input as it was listed
    OUTPUT/_vggbatch/groups/GGGGGG.json          marker: group G is complete, with its files and sums
    OUTPUT/_vggbatch/staging/GGGGGG/SSSSSSSS.CCCCCC.NNNNNN.RRRR.parquet
                                                 chunk C of the N in shard S, R rows

Every name follows from the plan alone and every file appears whole, so work that is done twice,
even by a driver that was thought dead, writes the same content under the same name. Resuming is
a listing of markers and staging files: no lock protects the rows and no row is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.errors import UsageError
from vggbatch.pipeline.chunk import ChunkKey, shard_table, shards_of
from vggbatch.sources import Shard
from vggbatch.storage import Folder

STATE = "_vggbatch"
PREDICTIONS = "predictions"
SUCCESS = "_SUCCESS"
RUN = "run.json"


@dataclass
class Progress:
    """What is committed."""

    groups: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Group number -> its marker."""
    chunks: dict[int, set[int]] = field(default_factory=dict)
    """Shard number -> committed chunks, of shards in groups that are not complete."""
    totals: dict[int, int] = field(default_factory=dict)
    """Shard number -> how many chunks it has, as far as known."""
    staged_rows: int = 0

    @property
    def rows(self) -> int:
        """Rows that are safe."""
        return self.staged_rows + sum(marker["rows"] for marker in self.groups.values())

    def commit(self, key: ChunkKey) -> bool:
        """Note a committed chunk; whether it was new."""
        done = self.chunks.setdefault(key.shard, set())
        self.totals[key.shard] = key.chunks
        if key.chunk in done:
            return False
        done.add(key.chunk)
        return True

    def shard_complete(self, shard: int) -> bool:
        """Whether every chunk of a shard is committed."""
        return len(self.chunks.get(shard, ())) == self.totals.get(shard, -1)


class Output:
    """The OUTPUT folder of a run."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def succeeded(self) -> bool:
        """Whether the run that is here is complete."""
        return self.folder.exists(SUCCESS)

    def read_run(self) -> dict[str, Any]:
        """run.json.

        Raises:
            UsageError: there is none: not the output of a completed run.
        """
        try:
            run: dict[str, Any] = self.folder.read_json(RUN)
        except FileNotFoundError:
            raise UsageError(
                f"{self.folder.uri} is not the output of a finished run (it has no {RUN})"
            ) from None
        return run

    def read_plan(self) -> dict[str, Any] | None:
        """What the run that is here was asked for; None if there is none."""
        try:
            plan: dict[str, Any] = self.folder.read_json(f"{STATE}/plan.json")
        except FileNotFoundError:
            return None
        return plan

    def write_plan(self, plan: dict[str, Any], shards: list[tuple[int, int, Shard]]) -> None:
        """Record a new run; plan.json last, so that it never stands without the shards."""
        sink = pa.BufferOutputStream()
        pq.write_table(shard_table(shards), sink, compression="zstd")
        self.folder.write_bytes(f"{STATE}/shards.parquet", sink.getvalue().to_pybytes())
        self.folder.write_json(f"{STATE}/plan.json", plan)

    def read_shards(self) -> list[tuple[int, int, Shard]]:
        """The input of the run that is here: (shard number, group number, shard)."""
        data = self.folder.read_bytes(f"{STATE}/shards.parquet")
        return list(shards_of(pq.read_table(pa.BufferReader(data))))

    def clear(self) -> None:
        """Delete everything a run writes, _SUCCESS first and the plan last; nothing else."""
        self.folder.delete(SUCCESS)
        self.folder.delete(RUN)
        for name in (PREDICTIONS, "metrics"):
            self.folder.delete_tree(name)
        self.folder.delete("report.html")
        self.folder.delete_tree(STATE)

    def part_name(self, key: ChunkKey, rows: int) -> str:
        """The staging file of a chunk."""
        return (
            f"{STATE}/staging/{key.group:06d}/"
            f"{key.shard:08d}.{key.chunk:06d}.{key.chunks:06d}.{rows:04d}.parquet"
        )

    def parts(self, group: int) -> Iterator[tuple[ChunkKey, int, str]]:
        """The staging files of a group in row order: chunk, rows, name."""
        for info in self.folder.list(f"{STATE}/staging/{group:06d}", suffix=".parquet"):
            shard, chunk, chunks, rows = info.path.rsplit("/", 1)[-1].split(".")[:4]
            yield ChunkKey(group, int(shard), int(chunk), int(chunks)), int(rows), info.path

    def drop_staging(self, group: int) -> None:
        """Delete the staging files of a group whose marker is written."""
        self.folder.delete_tree(f"{STATE}/staging/{group:06d}")

    def write_marker(self, group: int, marker: dict[str, Any]) -> None:
        """Declare a group complete."""
        self.folder.write_json(f"{STATE}/groups/{group:06d}.json", marker)

    def read_marker(self, group: int) -> dict[str, Any] | None:
        """The marker of a group, None while it is not complete."""
        try:
            marker: dict[str, Any] = self.folder.read_json(f"{STATE}/groups/{group:06d}.json")
        except FileNotFoundError:
            return None
        return marker

    def progress(self) -> Progress:
        """What is committed, from listings and markers alone."""
        progress = Progress()
        for info in self.folder.list(f"{STATE}/groups", suffix=".json"):
            group = int(info.path.rsplit("/", 1)[-1].split(".")[0])
            progress.groups[group] = json.loads(self.folder.read_bytes(info.path))
        for group in self._staging_groups():
            if group in progress.groups:
                # complete, but killed before its staging files were gone
                self.drop_staging(group)
                continue
            for key, rows, _ in self.parts(group):
                if progress.commit(key):
                    progress.staged_rows += rows
        return progress

    def _staging_groups(self) -> list[int]:
        self.folder.fs.invalidate_cache()
        try:
            entries = self.folder.fs.ls(self.folder.path(f"{STATE}/staging"), detail=False)
        except FileNotFoundError:
            return []
        return sorted(int(entry.rstrip("/").rsplit("/", 1)[-1]) for entry in entries)
