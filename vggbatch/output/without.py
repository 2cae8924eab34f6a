"""Predictions files again, without some of their rows: those of images that are to be forgotten.

Of the rows that stay nothing is computed again. What a file's footer sums over its rows (see
likelihood.py) stays true if those that go had an error; else the file has no such sums any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vggbatch.chunks.likelihood import METADATA_KEY, LabelLikelihood
from vggbatch.chunks.stats import Stats
from vggbatch.output.checks.intact import parquet_facts
from vggbatch.output.layout import Output
from vggbatch.output.ownership.fence import Fence
from vggbatch.output.reader import named_rows, open_for_arrow, open_parquet
from vggbatch.output.writer import open_writer
from vggbatch.sources.names import shard_format
from vggbatch.storage.filesystem import Folder


@dataclass(frozen=True)
class Rewritten:
    """A predictions file without some rows."""

    facts: dict[str, Any] | None
    """What is to be recorded of it; None where no row is left."""
    rows: int
    """How many rows went."""
    errors: pa.Array
    """Their errors, null for those that were scored."""
    likelihood: LabelLikelihood
    """Of the rows that stay, as far as it is known."""


def marker_without(
    output: Output,
    marker: Mapping[str, Any],
    ids: Collection[str],
    names: Mapping[str, str],
    shards: Collection[int],
) -> dict[str, Any]:
    """The marker of a group without some images, whose files are written again under other names.

    Args:
        output: with the right to write.
        marker: of the group.
        ids: the images that go.
        names: of the files that have any of them, the names of those that take their places; the
            same in the outputs of further profiles.
        shards: numbers of the shards that they are in, whose sums over bytes are true no more.
    """
    files: dict[str, list[dict[str, Any]]] = {}
    likelihoods: dict[str, LabelLikelihood] = {}
    rows, gone = 0, Stats()
    for profile, listed in {"": marker["files"], **marker["profiles"]}.items():
        folder = output.profile(profile) if profile else output.folder
        files[profile], likelihoods[profile] = [], LabelLikelihood()
        for file in listed:
            if file["name"] not in names:
                files[profile].append(file)
                with open_for_arrow(folder, file["name"]) as opened:
                    metadata = open_parquet(opened).metadata.metadata
                likelihoods[profile] += LabelLikelihood.from_metadata(metadata) or LabelLikelihood()
                continue
            place, new = output.fence_of(profile), names[file["name"]]
            found = _without(output, folder, place, file["name"], new, ids)
            if found.facts is not None:
                files[profile].append(found.facts)
            likelihoods[profile] += found.likelihood
            if not profile:
                rows += found.rows
                gone += Stats(rows=found.rows).with_errors(found.errors)
    before = Stats.from_json(marker["stats"])
    errors = {kind: count - gone.errors.get(kind, 0) for kind, count in before.errors.items()}
    first, *further = likelihoods.values()
    stats = replace(
        before,
        rows=before.rows - rows,
        errors={kind: count for kind, count in errors.items() if count},
        likelihood=first,
        further=tuple(further),
        content={n: value for n, value in before.content.items() if int(n) not in shards},
    )
    own = files.pop("")
    return {
        **marker,
        "rows": stats.rows,
        "files": own,
        "profiles": files,
        "stats": stats.to_json(),
    }


def _without(
    output: Output, folder: Folder, place: Fence, name: str, new: str, ids: Collection[str]
) -> Rewritten:
    values = pa.array(sorted(ids), pa.string())
    errors: list[pa.Array] = []
    kept = 0
    with ExitStack() as stack:
        opened = open_parquet(stack.enter_context(open_for_arrow(folder, name)))
        metadata = dict(opened.metadata.metadata or {})
        metadata.pop(b"ARROW:schema", None)
        file = None
        if _any_left(folder, name, opened, values):
            file = stack.enter_context(place.open_atomic(new))
        writer: pq.ParquetWriter | None = None
        for table in named_rows(folder, name, opened):
            going = pc.is_in(table["image_id"], value_set=values)
            errors += table.filter(going)["error"].chunks
            staying = table.filter(pc.invert(going))
            kept += len(staying)
            if file is not None and len(staying):
                if writer is None:
                    schema = staying.schema.remove_metadata()
                    writer = stack.enter_context(open_writer(file, schema))
                writer.write_table(staying.replace_schema_metadata(None))
        found = pa.chunked_array(errors, pa.string()).combine_chunks()
        likelihood = LabelLikelihood.from_metadata(metadata)
        if found.null_count:
            likelihood = None
            metadata.pop(METADATA_KEY, None)
        facts = None
        if file is not None and writer is not None:
            writer.add_key_value_metadata(metadata)
            writer.close()
            facts = parquet_facts(new, kept, file)
    return Rewritten(facts, len(found), found, likelihood or LabelLikelihood())


def _any_left(folder: Folder, name: str, opened: pq.ParquetFile, ids: pa.Array) -> bool:
    return any(
        not pc.all(pc.is_in(table["image_id"], value_set=ids)).as_py()
        for table in named_rows(folder, name, opened, ["image_id"])
    )


def images_with_errors(
    output: Output, marker: Mapping[str, Any], kinds: Collection[str]
) -> Iterator[str]:
    """The images of a group that could not be scored.

    Args:
        output: the output.
        marker: of the group.
        kinds: of errors; nothing: all.
    """
    for file in marker["files"]:
        with open_for_arrow(output.folder, file["name"]) as stream:
            opened = open_parquet(stream)
            wanted = ["image_id", "error"]
            for table in named_rows(output.folder, file["name"], opened, wanted):
                bad = table.filter(pc.is_valid(table["error"]))
                for name, error in zip(*(column.to_pylist() for column in bad), strict=True):
                    if not kinds or error.partition(":")[0] in kinds:
                        yield name


def files_with(
    output: Output, marker: Mapping[str, Any], names: Collection[str], *, shards: bool = True
) -> dict[str, list[str]]:
    """The files of a group that have any of some images, with the ids of those they have.

    Args:
        output: the output.
        marker: of the group.
        names: image ids, and names of shards.
        shards: whether a name of a shard means all that is in it.
    """
    ids = pa.array(sorted(names), pa.string())
    prefixes = [f"{name}/" for name in names if shards and shard_format(name)]
    found: dict[str, list[str]] = {}
    for file in marker["files"]:
        with open_for_arrow(output.folder, file["name"]) as stream:
            opened = open_parquet(stream)
            for table in named_rows(output.folder, file["name"], opened, ["image_id"]):
                column = table["image_id"]
                there = pc.is_in(column, value_set=ids)
                for prefix in prefixes:
                    there = pc.or_(there, pc.starts_with(column, prefix))
                if inside := column.filter(there).to_pylist():
                    found.setdefault(file["name"], []).extend(inside)
    return found
