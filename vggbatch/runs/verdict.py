"""Whether what a run gave is a success: a job that scored next to nothing is none.

Half is the limit where the user sets none: beyond it the input was more likely taken for something
else than it is than half its images are damaged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from vggbatch.job.job import Job
from vggbatch.output.reader import naming_damage, open_for_arrow, read_table
from vggbatch.storage.filesystem import Folder, public_uri

if TYPE_CHECKING:
    from vggbatch.runs.result import RunResult

DEFAULT_LIMIT = 0.5
"""Share of images that may end in an error, where `max_error_rate` is not set."""

_TAKEN_FOR = {
    "files": "image files, by their names",
    "tar": "tar shards",
    "parquet": "Parquet files with image bytes",
    "recordio": "MXNet RecordIO",
    "tfrecord": "TFRecord",
}


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a run as a whole."""

    message: str
    fails: bool
    """Whether the job fails by it; else it is a warning."""


def judge(job: Job, result: RunResult, *, labeled: int | None = None) -> Verdict | None:
    """Judge a run that has ended.

    Args:
        job: what was asked.
        result: what came out.
        labeled: images that have a label in any set; None where none was wanted.

    Returns:
        What is wrong with it as a whole; None where nothing is.
    """
    config, errors, rows = job.config, result.stats.error_rows, result.rows
    limit = DEFAULT_LIMIT if config.max_error_rate is None else config.max_error_rate
    rate = errors / max(1, rows)
    if not rows:
        return Verdict(f"no image was found: {taken_for(job)}", config.max_error_rate is None)
    if rate > min(limit, DEFAULT_LIMIT):
        return Verdict(_failed(job, result, limit), rate > limit)
    if labeled == 0:
        sets = ", ".join(public_uri(spec) for spec in config.labels)
        message = (
            f"none of {rows:,} images has a label in {sets}, so nothing is evaluated and no "
            f"metrics are written: {taken_for(job)}; the first image is "
            f"{_first(result, 'image_id')}"
        )
        return Verdict(message, limit < 1)
    return None


def _failed(job: Job, result: RunResult, limit: float) -> str:
    """That images could not be scored."""
    errors, rows = result.stats.error_rows, result.rows
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.stats.errors.items())
    share = f"none of {rows:,} images" if errors == rows else f"{errors:,} of {rows:,} images"
    verb = "could be scored" if errors == rows else f"({errors / rows:.2%}) could not be scored"
    allowed = "" if errors / rows <= limit else f", over the limit of {limit:.2%} (max_error_rate)"
    taken = f"; {taken_for(job)}" if errors / rows > DEFAULT_LIMIT else ""
    return (
        f"{share} {verb}{allowed}: {kinds}; the first is {_first(result, 'error')}{taken}; the "
        f"rows are in {public_uri(result.output.folder.uri)}, their reasons in the column `error`"
    )


def taken_for(job: Job) -> str:
    """What the input was taken for."""
    formats = Counter(shard.format for shard in job.shards)
    found = " and ".join(_TAKEN_FOR.get(name, name) for name in sorted(formats))
    inputs = ", ".join(public_uri(uri) for uri in job.config.input)
    lists = [uri for uri in job.config.input if _is_list(uri, job)]
    if lists:
        names = ", ".join(map(public_uri, lists))
        return f"{names} was taken for a list of paths of images, not for images or labels"
    return f"{inputs} was taken for {found or 'a folder of images'}"


def _is_list(uri: str, job: Job) -> bool:
    """Whether an input names images that are elsewhere."""
    suffixes = (".csv", ".tsv", ".txt", ".lst", ".list", ".json", ".jsonl")
    if public_uri(uri).lower().endswith(suffixes):
        return True
    names = public_uri(uri).lower().endswith(".parquet")
    return names and any(shard.format == "files" for shard in job.shards)


def _first(result: RunResult, column: str) -> str:
    """The first row, or the first with an error, as `image: error`."""
    folder: Folder = result.output.folder
    for file in next(iter(result.files.values())):
        with open_for_arrow(folder, file["name"]) as opened, naming_damage(folder, file["name"]):
            table = read_table(opened, ["image_id", "error"])
        if column == "error":
            table = table.filter(pc.field("error").is_valid())
        for row in table.slice(0, 1).to_pylist():
            return f"{row['image_id']}: {row['error']}" if column == "error" else row["image_id"]
    return "unknown"
