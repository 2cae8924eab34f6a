"""The Parquet sink: a staging file for each chunk, and their compaction into predictions files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.chunks.chunk import ChunkKey
from vggbatch.chunks.stats import Stats
from vggbatch.errors import JobFailed
from vggbatch.output.checks.intact import parquet_facts
from vggbatch.output.documents.metadata import FORMAT
from vggbatch.output.footer import footer_of_plan
from vggbatch.output.layout import Output
from vggbatch.output.names import PREDICTIONS
from vggbatch.output.reader import read_table
from vggbatch.output.schema import TOP_K, predictions_schema
from vggbatch.storage.filesystem import arrow_file

STATS_KEY = b"vggbatch.stats"
_NAME_KEY = b"vggbatch.part"
"""Of the metadata of a staging file: its chunk's statistics as JSON."""
_ROW_GROUP_BYTES = 32 * 2**20
"""Compaction holds about this much of a file in memory."""
_SHARED = ("image_id", "source", "label", "error")
"""Columns that are the same for every profile."""
_PARQUET: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
"""How files are written: what is torn or overwritten inside one shows when it is read."""
_ORDER = "image_id"
"""What the rows of a row group are sorted by: a reader that looks for some images skips pages."""
_READERS = 16
"""Staging files read at a time: small objects, so latency counts and not bandwidth."""


def predictions_table(
    rows: pa.StructArray,
    index: npt.NDArray[np.int32],
    probability: npt.NDArray[np.float32],
    *,
    classes: tuple[str, ...],
    features: npt.NDArray[np.float32] | None = None,
    features_type: str | None = None,
) -> pa.Table:
    """Rows in the predictions schema.

    Args:
        rows: image_id, source, label and error of every image of the chunk.
        index: (n, 5) for the n rows without an error, -1 past a model's last class.
        probability: (n, 5).
        classes: `n01440764 tench, Tinca tinca` and so on, in output order.
        features: (n, width of the last hidden layer), if wanted.
        features_type: `float32` or `float16`.
    """
    schema = predictions_schema(features_type)
    scored = rows.field("error").is_null().to_numpy(zero_copy_only=False)
    unknown = index.reshape(-1) < 0
    classes_found = pa.array(index.reshape(-1), pa.int32(), mask=unknown)
    columns = {name: rows.field(name) for name in _SHARED}
    values: dict[str, pa.Array] = {
        "top5_index": classes_found,
        "top5_probability": pa.array(probability.reshape(-1), pa.float32(), mask=unknown),
        "top5_synset": pa.array(classes, pa.string()).take(classes_found),
    }
    columns |= {name: _lists(found, TOP_K, scored) for name, found in values.items()}
    if features_type is not None:
        assert features is not None, "the classifier was opened with features"
        wide = _narrowed(features, features_type)
        columns["features"] = _lists(pa.array(wide.reshape(-1)), wide.shape[1], scored)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _narrowed(features: npt.NDArray[np.float32], kind: str) -> npt.NDArray[np.floating]:
    """The features as a type. Raises JobFailed where that has no room for a value."""
    with np.errstate(over="ignore"):
        narrow = features.astype(kind)
    if not np.array_equal(np.isfinite(narrow), np.isfinite(features)):
        raise JobFailed(
            f"features of up to {np.nanmax(np.abs(features)):.6g} do not fit {kind}, which ends at "
            "65,504: write them as float32"
        )
    return narrow


def _lists(values: pa.Array, width: int, valid: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Lists of `width` values for the valid rows, null for the others."""
    ends = np.cumsum(valid * width, dtype=np.int64)
    if len(ends) and ends[-1] > np.iinfo(np.int32).max:
        raise ValueError("a chunk has more values than a list column can hold")
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~valid))


def with_profile(predictions: pa.Table, name: str, others: pa.Table) -> pa.Table:
    """The rows with what a further profile says of the same images, in columns `NAME/...`."""
    for column in others.column_names:
        if column not in _SHARED:
            predictions = predictions.append_column(f"{name}/{column}", others[column])
    return predictions


def _by_profile(table: pa.Table) -> dict[str, pa.Table]:
    """Take apart what `with_profile` merged; the run's own rows are under ""."""
    names = dict.fromkeys(name.rpartition("/")[0] for name in table.column_names)
    own = [name for name in table.column_names if "/" not in name]
    return {
        profile: table.select(
            [name if name in _SHARED or not profile else f"{profile}/{name}" for name in own]
        ).rename_columns(own)
        for profile in names
    }


def write_part(output: Output, key: ChunkKey, predictions: pa.Table, stats: Stats) -> None:
    """Commit a chunk: its staging file appears whole, under a name that follows from the chunk."""
    name = output.part_name(key, predictions.num_rows)
    metadata = {STATS_KEY: stats.to_json(), _NAME_KEY: name}
    sink = pa.BufferOutputStream()
    pq.write_table(predictions.replace_schema_metadata(metadata), sink, **_PARQUET)
    output.fence.write_bytes(name, sink.getvalue().to_pybytes())


def compact(
    output: Output,
    group: int,
    shards: Sequence[int],
    rows_per_file: int,
    write_seconds: float = 0.0,
) -> dict[str, Any]:
    """Write the predictions files of a group whose chunks are all committed, then its marker.

    The same chunks give the same files, so a second compaction, of a driver that was killed,
    changes nothing.

    Args:
        output: the run's output.
        group: its number.
        shards: the numbers of the shards it consists of.
        rows_per_file: about how many rows a file gets.
        write_seconds: that writing the staging files took, which they cannot say themselves.

    Returns:
        The marker: rows, statistics, and the files with their row counts.

    Raises:
        JobFailed: staging files are missing that were committed.
    """
    output.fence.check()
    marker = output.read_marker(group)
    if marker is None or output.damage(marker):
        try:
            marker = _put_together(output, group, shards, rows_per_file, write_seconds)
        except (FileNotFoundError, JobFailed):
            # another driver may have been faster, and have cleaned up
            marker = output.read_marker(group)
            if marker is None:
                raise
    output.drop_staging(group)
    return marker


def _put_together(
    output: Output,
    group: int,
    shards: Sequence[int],
    rows_per_file: int,
    write_seconds: float,
) -> dict[str, Any]:
    """Write a group's files and its marker. Raises JobFailed if staging files are missing."""
    parts = list(output.parts(group))
    missing = _missing(parts, shards)
    if missing:
        raise JobFailed(
            f"{output.folder.uri}: staging files of {missing} disappeared; "
            "run the same command again to score those images again"
        )
    _check_cuts(output, group, parts)
    total = Stats(write_seconds=write_seconds)
    files: dict[str, list[dict[str, Any]]] = {"": []}
    for name, tables in _files(output, group, parts, rows_per_file):
        sums, written = _write_file(output, f"{PREDICTIONS}/{name}", tables)
        total += sums
        for profile, facts in written.items():
            files.setdefault(profile, []).append(facts)
    if not files[""]:
        # no rows, and still what was counted: shards without images, what was left out of them
        total += Stats.total(stats for _, stats in _row_groups(output, [p[2] for p in parts]))
    marker = {
        "format": FORMAT,
        "rows": total.rows,
        "files": files.pop(""),
        "profiles": files,
        "stats": total.to_json(),
    }
    return output.write_marker(group, marker)


def _write_file(
    output: Output, name: str, tables: Iterator[tuple[pa.Table, Stats]]
) -> tuple[Stats, dict[str, dict[str, Any]]]:
    """Write one predictions file, and those of further profiles, with the likelihoods of each.

    Returns:
        Statistics of its rows, and what is to be recorded of the file of each profile; that of the
        run's own is under "".
    """
    sums = Stats()
    plan = output.read_plan() or {}
    writers: dict[str, pq.ParquetWriter] = {}
    written: dict[str, BinaryIO] = {}
    with ExitStack() as stack:
        for table, stats in tables:
            for profile, rows in _by_profile(table.sort_by(_ORDER)).items():
                if profile not in writers:
                    place = output.fence_of(profile)
                    file = stack.enter_context(place.open_atomic(name))
                    written[profile] = file
                    writers[profile] = stack.enter_context(open_writer(file, rows.schema))
                writers[profile].write_table(rows)
            sums += stats
        for (profile, writer), likelihood in zip(
            writers.items(), (sums.likelihood, *sums.further), strict=True
        ):
            writer.add_key_value_metadata(likelihood.to_metadata())
            writer.add_key_value_metadata(footer_of_plan(plan, profile))
            writer.close()
        facts = {p: parquet_facts(name, sums.rows, file) for p, file in written.items()}
    return sums, facts


@contextmanager
def open_writer(file: BinaryIO, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of a predictions file, whose row groups are sorted by image id."""
    order = pq.SortingColumn.from_ordering(schema, [(_ORDER, "ascending")])
    writer = pq.ParquetWriter(
        file, schema, write_page_index=True, sorting_columns=order, **_PARQUET
    )
    try:
        yield writer
        writer.close()
    finally:
        # after an error its destructor would write to a file that is closed by then
        writer.is_open = False


def _missing(parts: list[tuple[ChunkKey, int, str]], shards: Sequence[int]) -> str:
    """Which shards lack chunks in a listing of a group, as text; empty if it is complete."""
    found: dict[int, set[int]] = {shard: set() for shard in shards}
    total: dict[int, int] = {}
    for key, _, _ in parts:
        found[key.shard].add(key.chunk)
        total[key.shard] = key.chunks
    short = [str(shard) for shard in shards if len(found[shard]) != total.get(shard, -1)]
    return f"{len(short)} shards (numbers {', '.join(short[:3])})" if short else ""


def _check_cuts(output: Output, group: int, parts: list[tuple[ChunkKey, int, str]]) -> None:
    """Raise JobFailed unless the staging files of each shard have each of its images once."""
    cuts: dict[int, set[tuple[int, int]]] = {}
    counts: dict[int, int] = {}
    for key, rows, _ in parts:
        cuts.setdefault(key.shard, set()).add((key.chunks, key.images))
        counts[key.shard] = counts.get(key.shard, 0) + rows
    for shard, found in cuts.items():
        images = [count for _, count in found]
        if len(found) > 1 or images != [counts[shard]]:
            raise JobFailed(
                f"{output.folder.uri}: shard number {shard} was cut in two ways, as where plan.json"
                f" was changed by hand: delete {output.staging_name(group)} and run the same "
                "command again, which scores those images again"
            )


def _files(
    output: Output, group: int, parts: list[tuple[ChunkKey, int, str]], rows_per_file: int
) -> Iterator[tuple[str, Iterator[tuple[pa.Table, Stats]]]]:
    """The predictions files that a group becomes: name and tables of each."""
    total = sum(rows for _, rows, _ in parts)
    if total == 0:
        return
    count = max(1, round(total / rows_per_file))
    bounds = np.linspace(0, total, count + 1)
    starts = np.concatenate([[0], np.cumsum([rows for _, rows, _ in parts])[:-1]])
    # what has no rows and comes last belongs to the last file
    owner = np.minimum(np.searchsorted(bounds, starts, side="right") - 1, count - 1)
    for number in range(count):
        names = [path for (_, _, path), own in zip(parts, owner, strict=True) if own == number]
        if not names:
            continue  # chunks may be larger than files
        suffix = f"-{number:03d}" if count > 1 else ""
        yield f"part-{group:06d}{suffix}.parquet", _row_groups(output, names)


def _row_groups(output: Output, names: list[str]) -> Iterator[tuple[pa.Table, Stats]]:
    """Staging files, read ahead and merged to row groups, with their statistics."""
    waiting: list[pa.Table] = []
    stats, size = Stats(), 0
    with ThreadPoolExecutor(_READERS) as pool:
        for batch in range(0, len(names), _READERS):
            some = names[batch : batch + _READERS]
            for name, data in zip(some, pool.map(output.folder.read_bytes, some), strict=True):
                try:
                    table = read_table(arrow_file(data))
                    stats += Stats.from_json(table.schema.metadata[STATS_KEY])
                    _check_name(table.schema.metadata, name)
                except (ValueError, KeyError, TypeError, OSError) as error:
                    # of pyarrow for damaged files, and for what is not there
                    raise _damaged(output, name, error) from None
                waiting.append(table.replace_schema_metadata(None))
                size += table.nbytes
            if size >= _ROW_GROUP_BYTES:
                yield pa.concat_tables(waiting), stats
                waiting, stats, size = [], Stats(), 0
    if waiting:
        yield pa.concat_tables(waiting), stats


def _check_name(metadata: Mapping[bytes, bytes], name: str) -> None:
    """Raise ValueError where a staging file is that of another chunk, or of another run."""
    there = metadata.get(_NAME_KEY, name.encode()).decode()
    # earlier versions wrote the last part alone
    if there not in (name, _last(name)):
        raise ValueError(f"it was written as {there}")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def part_stats(output: Output, name: str) -> Stats:
    """The statistics in a staging file.

    Raises:
        JobFailed: it is damaged.
    """
    try:
        schema = pq.read_schema(arrow_file(output.folder.read_bytes(name)))
        stats = Stats.from_json(schema.metadata[STATS_KEY])
        _check_name(schema.metadata, name)
        return stats
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _damaged(output, name, error) from None


def _damaged(output: Output, name: str, error: Exception) -> JobFailed:
    return JobFailed(
        f"{output.folder.uri}/{name} is damaged ({_first_line(error)}): delete it "
        "and run the same command again, which scores those images again"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
