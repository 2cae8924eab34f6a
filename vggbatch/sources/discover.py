"""From what the user names to shards: formats recognised, names unique, order always the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.errors import UsageError
from vggbatch.sources import names
from vggbatch.sources.base import Member, Reader, Shard
from vggbatch.sources.folder import FileReader, member_of, slices
from vggbatch.sources.listing import Listed, list_input
from vggbatch.sources.manifest import read_manifest
from vggbatch.sources.parquet import ParquetReader, layout
from vggbatch.sources.ranges import open_binary
from vggbatch.sources.recordio import RecordIOReader
from vggbatch.sources.surprises import (
    ARCHIVE,
    EMPTY,
    LEFT_OUT,
    NO_IMAGES,
    SAME_NAME,
    Surprise,
    noticed,
)
from vggbatch.sources.tar import TarReader
from vggbatch.sources.tfrecord import TFRecordReader

_READERS: dict[str, Reader] = {
    reader.format: reader
    for reader in (FileReader(), TarReader(), ParquetReader(), RecordIOReader(), TFRecordReader())
}
_MANIFEST_SUFFIXES = frozenset({"csv", "tsv", "txt", "lst", "list"})
_COMPRESSED_TAR = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_ARCHIVES = frozenset({"zip", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "lmdb", "h5", "hdf5"})
_THREADS = 32
"""Requests at a time to a store while looking at what the files are."""


def reader_for(format_name: str) -> Reader:
    """The reader of a format, by `Shard.format`."""
    return _READERS[format_name]


def discover(inputs: Sequence[str]) -> list[Shard]:
    """The shards of the inputs, sorted, each with a unique name.

    Args:
        inputs: files, folders, globs, list files or manifests, as paths or fsspec URIs.

    Raises:
        UsageError: an input does not exist, or there is no image or shard in any of them.
    """
    return survey(inputs).shards


@dataclass
class Survey:
    """What was found in the inputs."""

    shards: list[Shard]
    surprises: tuple[Surprise, ...]


def survey(inputs: Sequence[str]) -> Survey:
    """As `discover`, also with what was left out or is odd."""
    if not inputs:
        raise UsageError("no input given: name a folder, a shard, a glob or a list file")
    found = _Found()
    for uri in inputs:
        for file in list_input(uri):
            found.add(file)
    found.look_into_parquet()
    shards = [*_named_shards(found.shards.values(), found.counts), *slices(found.images())]
    if not shards:
        others = sum(map(len, found.left_out.values()))
        seen = f"only {others} other files" if others else "nothing is there"
        raise UsageError(f"no images and no shards in {', '.join(inputs)}: {seen}")
    return Survey(_apart(shards), found.surprises())


@dataclass
class _Found:
    """Files sorted into shards and images, each URI once."""

    shards: dict[str, tuple[str, Listed]] = field(default_factory=dict)
    loose: dict[str, tuple[Member, str]] = field(default_factory=dict)
    named: list[tuple[Member, str]] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Names under their input root, by the reason."""
    counts: dict[str, int | None] = field(default_factory=dict)
    """Images in a file, by its URI, where a look at it tells."""

    def add(self, file: Listed) -> None:
        """Take in one file of a listing, or what it lists itself."""
        shard_format = names.shard_format(file.name)
        if shard_format:
            self._keep_longest(shard_format, file)
        elif file.explicit and file.name.lower().endswith(_COMPRESSED_TAR):
            raise UsageError(f"{file.uri}: a compressed tar cannot be read in place; decompress it")
        elif file.explicit and names.suffix(file.name) in _MANIFEST_SUFFIXES:
            self._add_manifest(file)
        elif names.is_image(file.name) or file.explicit:
            known = self.loose.get(file.uri)
            if known is None or len(known[0].name) < len(file.name):
                self.loose[file.uri] = member_of(file), file.version
        else:
            archive = names.suffix(file.name) in _ARCHIVES
            self.left_out[ARCHIVE if archive else LEFT_OUT].append(file.name)

    def look_into_parquet(self) -> None:
        """Tell Parquet files with images from manifests and from those that are neither."""
        files = [file for kind, file in self.shards.values() if kind == ParquetReader.format]
        with ThreadPoolExecutor(_THREADS) as pool:
            for file, (images, count) in zip(files, pool.map(_in_parquet, files), strict=True):
                if images:
                    self.counts[file.uri] = count
                    continue
                del self.shards[file.uri]
                if file.explicit:
                    self._add_manifest(file)
                else:
                    self.left_out[NO_IMAGES].append(file.name)

    def images(self) -> Iterable[tuple[Member, str]]:
        """All image files, those of manifests as often as they are named."""
        return [*self.loose.values(), *self.named]

    def surprises(self) -> tuple[Surprise, ...]:
        """What is odd about all that was found."""
        images = [member for member, _ in self.images()]
        files = [file for _, file in self.shards.values()]
        empty = [member.name for member in images if member.size == 0 and not member.error]
        empty += [file.name for file in files if file.size == 0]
        count = Counter(member.name for member in images)
        repeats = [name for name, times in count.items() for _ in range(times - 1)]
        return noticed([*self.left_out.items(), (EMPTY, empty), (SAME_NAME, repeats)])

    def _keep_longest(self, format_name: str, file: Listed) -> None:
        """Where two inputs overlap, a file's name is that under the outer one."""
        known = self.shards.get(file.uri)
        if known is None or len(known[1].name) < len(file.name):
            self.shards[file.uri] = format_name, file

    def _add_manifest(self, file: Listed) -> None:
        shards = []
        for member in read_manifest(file.uri):
            if names.shard_format(member.name) and member.source:
                shards.append(member.source)
            else:
                self.named.append((member, ""))
        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(lambda uri: list(list_input(uri)), shards):
                for shard in found:
                    self.add(shard)


def _in_parquet(file: Listed) -> tuple[bool, int | None]:
    """Whether a Parquet file has images, as far as it can be read, and how many rows."""
    try:
        with open_binary(file.uri, file.size) as opened:
            footer = pq.read_metadata(opened)
            return layout(footer.schema.to_arrow_schema()) is not None, footer.num_rows
    except (pa.ArrowException, OSError):
        return True, None  # its index says the rest


def _named_shards(
    files: Iterable[tuple[str, Listed]], counts: Mapping[str, int | None]
) -> list[Shard]:
    """Shards named by their file's name where only one has it, else by the path under the root."""
    ordered = sorted(files, key=lambda item: (item[1].name, item[1].uri))
    bases = [file.name.rsplit("/", 1)[-1] for _, file in ordered]
    count = Counter(bases)
    shard_names = names.unique(
        [
            file.name if count[base] > 1 else base
            for base, (_, file) in zip(bases, ordered, strict=True)
        ]
    )
    return [
        Shard(format_name, file.uri, name, file.size, file.version, images=counts.get(file.uri))
        for name, (format_name, file) in zip(shard_names, ordered, strict=True)
    ]


def _apart(shards: list[Shard]) -> list[Shard]:
    """Rename shards under whose name loose images or other shards lie, so that ids stay unique."""
    folders = names.ancestors(shard.name for shard in shards)
    for shard in shards:
        if shard.members is not None:
            folders |= names.ancestors(shard.members["name"].to_pylist())
    taken = folders | {shard.name for shard in shards}
    result = []
    for shard in shards:
        if shard.name in folders:
            name = names.unique([shard.name], taken)[0]
            taken.add(name)
            shard = replace(shard, name=name)
        result.append(shard)
    return result
