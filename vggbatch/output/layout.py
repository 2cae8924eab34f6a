"""What a run leaves in OUTPUT, and what the next run learns from it.

    OUTPUT/predictions/part-GGGGGG[-F].parquet   the rows of group G, written once it is complete
    OUTPUT/profiles/P/                           the same for each further profile P, an output
                                                 that commands read as they read any
    OUTPUT/run.json, _SUCCESS                    last of all
    OUTPUT/_vggbatch/next/                       what is to be added to a complete output, an
                                                 output itself (see switch.py)
    OUTPUT/_vggbatch/plan.json                   what was asked for, in full, and its digest ID
    OUTPUT/_vggbatch/lease.json                  who is at work (see lease.py)
    OUTPUT/_vggbatch/owner.NNNNNNNN/             its claim, and files while they are written
    OUTPUT/_vggbatch/ID/shards.parquet           the input as it was listed
    OUTPUT/_vggbatch/ID/groups/GGGGGG.json       marker: group G is complete, its files and sums
    OUTPUT/_vggbatch/ID/staging/GGGGGG/SSSSSSSS.CCCCCC.NNNNNN.IIIIIIIII.RRRR.parquet
                                                 chunk C of the N in shard S, which has I
                                                 images; R rows

Every name follows from the plan alone and every file appears whole, so work that is done twice
writes the same content under the same name. A run that begins has an ID of its own, even if the
same was asked for before, so what is left over from an overwritten one never mixes with it.
Resuming is a listing of markers and staging files; no row is read. All that is written goes through
the lease's fence (see fence.py), which lets nothing pass of a driver that has lost its output.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.chunks.chunk import ChunkKey, NumberedShard, as_recorded, shard_table, shards_of
from vggbatch.errors import UsageError
from vggbatch.output.checks.intact import damage
from vggbatch.output.documents import metadata
from vggbatch.output.names import (
    NEXT,
    PLAN,
    PREDICTIONS,
    PROFILES,
    RECORD_MARK,
    RUN,
    STATE,
    SUCCESS,
)
from vggbatch.output.ownership import recorded
from vggbatch.output.ownership.fence import Fence
from vggbatch.output.progress import Progress
from vggbatch.storage.filesystem import Folder, arrow_file
from vggbatch.storage.parquet_check import open_checked

_SHARDS = "shards.parquet"
_PLAN_ID = re.compile(r"[0-9a-f]{16}")
_GROUP = re.compile(r"[0-9]{6,9}")
_STAGED = re.compile(
    r"([0-9]{8,9})\.([0-9]{6,9})\.([0-9]{6,9})\.([0-9]{9,18})\.([0-9]{4,9})", re.ASCII
)
"""Numbers of a shard and of a chunk, how many chunks and images the shard has, and rows."""
_LARGEST_INPUT = 2**32
"""Bytes of shards.parquet, which has the names of listed images: some 5 for each."""
_REQUESTS = 16
"""Markers read at a time."""


class Output:
    """The OUTPUT folder of a run; pickles small.

    Args:
        folder: OUTPUT.
        plan_id: ID of the plan whose state is meant; not given, that of the recorded one.
        fence: the right to write, of the lease; not given, the output is only read.
    """

    def __init__(
        self, folder: Folder, plan_id: str | None = None, fence: Fence | None = None
    ) -> None:
        self.folder = folder
        self._plan_id = plan_id
        self._fence = fence

    @property
    def fence(self) -> Fence:
        """The right to write and to delete."""
        assert self._fence is not None, "an output is written under its lease"
        return self._fence

    @property
    def writable(self) -> bool:
        """Whether this driver holds the output's lease."""
        return self._fence is not None

    def fence_of(self, profile: str) -> Fence:
        """The same in the output of a further profile; of "", the output itself."""
        return self.fence.below(f"{PROFILES}/{profile}") if profile else self.fence

    @property
    def plan_id(self) -> str:
        """ID of the plan.

        Raises:
            UsageError: no run was started here.
        """
        if self._plan_id is None:
            plan = self.read_plan()
            if plan is None:
                raise UsageError(f"{self.folder.uri} has no run in it (no {PLAN})")
            self._plan_id = str(plan["id"])
        return self._plan_id

    def profile(self, name: str) -> Folder:
        """The output of a further profile."""
        return Folder(f"{self.folder.uri}/{PROFILES}/{name}")

    def succeeded(self) -> bool:
        """Whether the run that is here is complete."""
        return self.folder.exists(SUCCESS)

    def read_run(self) -> dict[str, Any]:
        """run.json.

        Raises:
            UsageError: there is none: not the output of a completed run; or one that this version
                cannot read.
        """
        try:
            return metadata.run(self.folder.read_bytes(RUN), self._where(RUN))
        except FileNotFoundError:
            raise UsageError(
                f"{self.folder.uri} is not the output of a finished run (it has no {RUN})"
            ) from None

    def known_of_run(self) -> dict[str, Any]:
        """What run.json says, or as much of one as is there; nothing where there is none.

        Raises:
            UsageError: this version cannot read it.
        """
        try:
            return metadata.known(self.folder.read_bytes(RUN), self._where(RUN))
        except FileNotFoundError:
            return {}

    def read_plan(self) -> dict[str, Any] | None:
        """What the run that is here was asked for; None if there is none.

        Raises:
            UsageError: this version cannot read it; the same for all that is read below.
        """
        try:
            return metadata.plan(self.folder.read_bytes(PLAN), self._where(PLAN))
        except FileNotFoundError:
            return None

    def write_plan(
        self, plan: dict[str, Any], shards: list[NumberedShard], *, own: bool = True
    ) -> None:
        """Record a new run; plan.json last, so that it never stands without the shards.

        Args:
            plan: what was asked for.
            shards: the input.
            own: whether it is this user who has named the input (see recorded.py).
        """
        self._plan_id = uuid.uuid4().hex[:16]
        self._write_shards(shards, own=own)
        self.fence.create_json(PLAN, {"format": metadata.FORMAT, **plan, "id": self._plan_id})

    def next_generation(self, shards: list[NumberedShard], *, own: bool) -> Output:
        """The state of a generation that this output is to become (see switch.py), without markers.

        Args:
            shards: its input.
            own: as of `write_plan`.
        """
        new = Output(self.folder, uuid.uuid4().hex[:16], self.fence)
        new._write_shards(shards, own=own)
        return new

    def rewrite_input(self, digest: str, shards: list[NumberedShard]) -> None:
        """Record the same input with other times of its files.

        The shards first: with those and the old digest, the next run finds that nothing differs.
        """
        plan = self.read_plan()
        assert plan is not None
        self._write_shards(shards)
        self.fence.write_json(PLAN, plan | {"input_digest": digest})

    def _write_shards(self, shards: list[NumberedShard], *, own: bool = True) -> None:
        sink = pa.BufferOutputStream()
        shown = [(number, group, shard.public()) for number, group, shard in shards]
        pq.write_table(shard_table(shown), sink, compression="zstd", write_page_checksum=True)
        data = sink.getvalue().to_pybytes()
        self.fence.write_bytes(self._name(_SHARDS), data)
        mark = recorded.mark_of(self.folder, data) if own else None
        if mark is not None:
            self.fence.write_bytes(self._name("shards.mark"), mark)

    def is_current(self) -> bool:
        """Whether the plan recorded here is still this one, not one that has overwritten it."""
        plan = self.read_plan()
        return plan is not None and plan["id"] == self.plan_id

    def read_shards(self) -> list[NumberedShard]:
        """The input of the run that is here: (shard number, group number, shard)."""
        return self.read_own_shards()[0]

    def read_groups(self) -> list[int]:
        """The group of each shard, in order, as first planned."""
        numbered = [(number, group) for number, group, _ in self.read_shards()]
        if [number for number, _ in numbered] != list(range(len(numbered))):
            reason = "its shards are not in order"
            raise metadata.foreign(self._where(self._name(_SHARDS)), reason)
        return [group for _, group in numbered]

    def has_own_shards(self) -> bool:
        """Whether the input is as this user has recorded it (see recorded.py)."""
        if self.read_plan() is None:
            return False
        return self._is_own(self._name(_SHARDS), self._name("shards.mark"))

    def has_own_record(self) -> bool:
        """Whether run.json, of `rescore`, is as this user has recorded it."""
        return self._is_own(RUN, RECORD_MARK)

    def _is_own(self, name: str, mark: str) -> bool:
        try:
            data = self.folder.read_bytes(name, _LARGEST_INPUT)
            return recorded.is_own(self.folder, data, self.folder.read_bytes(mark))
        except (FileNotFoundError, UsageError):
            return False

    def read_own_shards(self) -> tuple[list[NumberedShard], bool]:
        """The same, and whether they are as this user has recorded them (see recorded.py)."""
        name = self._name(_SHARDS)
        own = False
        try:
            data = self.folder.read_bytes(name, _LARGEST_INPUT)
            with suppress(FileNotFoundError):
                mark = self.folder.read_bytes(self._name("shards.mark"))
                own = recorded.is_own(self.folder, data, mark)
            table = open_checked(arrow_file(data)).read()
            return list(shards_of(as_recorded(table))), own
        except (FileNotFoundError, ValueError, OSError, AttributeError, pa.ArrowException) as error:
            # pyarrow raises any of them for a file that is damaged, or has other columns
            raise metadata.foreign(self._where(name), error) from None

    def clear(self) -> None:
        """Delete everything a run writes, _SUCCESS first and its state last; nothing else.

        Raises:
            UsageError: plan.json names folders that no run writes; nothing was deleted.
        """
        try:
            profiles = list((self.read_plan() or {}).get("profiles", ()))[1:]
        except metadata.Impossible:
            raise
        except UsageError:
            profiles = []  # its folders are not known, and no run can be named for what is in them
        self.fence.delete(SUCCESS)
        self.fence.delete(RUN)
        for name in (PREDICTIONS, "metrics", *(f"{PROFILES}/{profile}" for profile in profiles)):
            self.fence.delete_tree(name)
        for name in ("report.html", "comparison.html"):
            self.fence.delete(name)
        self.fence.delete(RECORD_MARK)
        self.fence.delete(PLAN)
        self.fence.delete_tree(NEXT)
        self.drop_other_plans(None)

    def drop_other_plans(self, kept: str | None) -> None:
        """Delete the state of all plans but one: what overwritten runs have left."""
        for name in self.folder.folders(STATE):
            if is_plan_id(name) and name != kept:
                self.fence.delete_tree(f"{STATE}/{name}")

    def drop_partial_files(self) -> None:
        """Delete what killed processes were writing, outside the folders that went with a claim."""
        for place in (STATE, self._name("indexes")):
            for info in self.folder.list(place):
                if is_partial(info.path):
                    self.fence.delete(info.path)

    def index_folder(self) -> Folder:
        """Where indexes of shards are kept from one run to the next."""
        return Folder(self.folder.uri + "/" + self._name("indexes"))

    def part_name(self, key: ChunkKey, rows: int) -> str:
        """The staging file of a chunk."""
        shard = f"{key.shard:08d}.{key.chunk:06d}.{key.chunks:06d}.{key.images:09d}"
        return f"{self.staging_name(key.group)}/{shard}.{rows:04d}.parquet"

    def staging_name(self, group: int) -> str:
        """The folder of a group's staging files."""
        return self._name(f"staging/{group:06d}")

    def parts(self, group: int) -> Iterator[tuple[ChunkKey, int, str]]:
        """The staging files of a group in row order: chunk, rows, name."""
        for info in self.folder.list(self.staging_name(group), suffix=".parquet"):
            found = _STAGED.fullmatch(_stem(info.path))
            if found is None:
                raise metadata.foreign(self._where(info.path), "no run names a file so")
            shard, chunk, chunks, images, rows = map(int, found.groups())
            yield ChunkKey(group, shard, chunk, chunks, images), rows, info.path

    def drop_staging(self, group: int | None = None) -> None:
        """Delete the staging files of a group whose marker is written, or of all."""
        name = self._name("staging") if group is None else self.staging_name(group)
        self.fence.delete_tree(name)

    def drop_strays(self, names: Collection[str]) -> None:
        """Delete what killed or overwritten runs left among the predictions: all but `names`."""
        for place in ("", *(f"{PROFILES}/{name}/" for name in self.folder.folders(PROFILES))):
            for info in self.folder.list(f"{place}{PREDICTIONS}"):
                ours = info.path.rsplit("/", 1)[-1].startswith(("part-", ".part-"))
                if ours and info.path.removeprefix(place) not in names:
                    self.fence.delete(info.path)

    def write_marker(self, group: int, marker: dict[str, Any]) -> dict[str, Any]:
        """Declare a group complete; the marker, which says of which group and plan it is."""
        marker = {**marker, "group": group, "plan": self.plan_id}
        self.fence.write_json(self._name(f"groups/{group:06d}.json"), marker)
        return marker

    def read_marker(self, group: int) -> dict[str, Any] | None:
        """The marker of a group; None while it is not complete, and where its marker is damaged."""
        try:
            return self._marker(self._name(f"groups/{group:06d}.json"))
        except (FileNotFoundError, metadata.Damaged):
            return None

    def damage(self, *markers: dict[str, Any]) -> dict[str, str]:
        """What is wrong with the files that markers name, those of profiles too, by name."""
        found = damage(self.folder, [file for marker in markers for file in marker["files"]])
        for profile in dict.fromkeys(name for marker in markers for name in marker["profiles"]):
            files = [file for marker in markers for file in marker["profiles"].get(profile, ())]
            wrong = damage(self.profile(profile), files)
            found |= {f"{PROFILES}/{profile}/{name}": what for name, what in wrong.items()}
        return found

    def progress(self) -> Progress:
        """What is committed: from listings, markers, and the ends of the files that they name."""
        progress = Progress()
        names = [info.path for info in self.folder.list(self._name("groups"), suffix=".json")]
        with ThreadPoolExecutor(_REQUESTS) as pool:
            markers = dict(zip(names, pool.map(self._marker_if_whole, names), strict=True))
        wrong = self.damage(*(marker for marker in markers.values() if marker is not None))
        for name, marker in markers.items():
            if marker is None:
                progress.lost.append(f"{name} is damaged")
            elif lost := [f"{file} {wrong[file]}" for file in _files_of(marker) if file in wrong]:
                # the group is to be scored again
                progress.lost += lost
                progress.lost_rows += marker["rows"]
            else:
                progress.close(self._number(name), (), marker)
        staging = self._name("staging")
        for group in sorted(
            self._number(f"{staging}/{name}") for name in self.folder.folders(staging)
        ):
            if group in progress.groups:
                continue
            for key, rows, _ in self.parts(group):
                progress.commit(key, rows)
        return progress

    def _name(self, name: str) -> str:
        return f"{STATE}/{self.plan_id}/{name}"

    def _where(self, name: str) -> str:
        return f"{self.folder.uri}/{name}"

    def _marker(self, name: str) -> dict[str, Any]:
        marker = metadata.marker(self.folder.read_bytes(name), self._where(name))
        if "group" in marker and marker["group"] != self._number(name):
            raise metadata.foreign(self._where(name), f"it is of group {marker['group']}")
        if marker.get("plan", self.plan_id) != self.plan_id:
            raise metadata.foreign(self._where(name), f"it is of run {marker['plan']}")
        for files in (marker["files"], *marker["profiles"].values()):
            if sum(file["rows"] for file in files) != marker["rows"]:
                raise metadata.foreign(self._where(name), "its files have other rows than it says")
        return marker

    def _marker_if_whole(self, name: str) -> dict[str, Any] | None:
        try:
            return self._marker(name)
        except metadata.Damaged:
            return None

    def _number(self, name: str) -> int:
        """The group that a marker or a folder of staging files is named after."""
        if not _GROUP.fullmatch(_stem(name)):
            raise metadata.foreign(self._where(name), "no run names a group so")
        return int(_stem(name))


def is_plan_id(name: str) -> bool:
    """Whether a folder of the state is that of a plan."""
    return bool(_PLAN_ID.fullmatch(name))


def is_partial(name: str) -> bool:
    """Whether a file of the state is one that a process was writing."""
    last = name.rsplit("/", 1)[-1]
    return last.startswith((".mark-", ".probe-")) or last.endswith(".partial")


def _files_of(marker: dict[str, Any]) -> list[str]:
    """The files that a marker names, as `Output.damage` does."""
    own = [file["name"] for file in marker["files"]]
    further = [
        f"{PROFILES}/{profile}/{file['name']}"
        for profile, files in marker["profiles"].items()
        for file in files
    ]
    return own + further


def _stem(name: str) -> str:
    """`a/b.c.parquet` -> `b.c`."""
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
