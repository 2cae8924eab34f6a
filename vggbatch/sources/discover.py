"""From what the user names to shards: formats recognized, names unique, order always the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch import uris
from vggbatch.errors import ImageError, UsageError, VggbatchError
from vggbatch.memory import without_collection
from vggbatch.preprocess.content import recognize
from vggbatch.sources import kinds, names, versioned
from vggbatch.sources.base import Layout, Member, Reader, Shard
from vggbatch.sources.formats import manifest
from vggbatch.sources.formats.companions import companions
from vggbatch.sources.formats.folder import FileReader, member_of, slices
from vggbatch.sources.formats.manifest import below_common_folder, read_manifest
from vggbatch.sources.formats.parquet import ParquetReader, label_of, layout, usual_label
from vggbatch.sources.formats.recordio import RecordIOReader
from vggbatch.sources.formats.tar import TarReader
from vggbatch.sources.formats.tfrecord import TFRecordReader
from vggbatch.sources.input_warnings import (
    ARCHIVE,
    COMPANIONS,
    DEAD_LINK,
    EMPTY,
    NO_IMAGES,
    SAME_NAME,
    UNREAD,
    InputWarning,
    LeftOut,
    Names,
    collect,
)
from vggbatch.sources.kinds import IMAGE
from vggbatch.sources.listed import Listed
from vggbatch.sources.listing import list_input
from vggbatch.sources.packed_set import NAME as PACK_DOCUMENT
from vggbatch.sources.packed_set import check_sets
from vggbatch.sources.tables.columns import Reading
from vggbatch.sources.tables.image_columns import LIST, absent, first_rows
from vggbatch.storage.filesystem import public_uri
from vggbatch.storage.parquet_pages import open_guarded
from vggbatch.storage.ranges import open_binary
from vggbatch.text import of_path

_READERS: dict[str, Reader] = {
    reader.format: reader
    for reader in (FileReader(), TarReader(), ParquetReader(), RecordIOReader(), TFRecordReader())
}
_UNKNOWN = 8192
"""Files that are looked into together, where their names do not say what they are."""
_COMPRESSED_TAR = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_THREADS = 32
"""Requests at a time to a store while looking at what the files are."""


def reader_for(format_name: str) -> Reader:
    """The reader of a format, by `Shard.format`."""
    if format_name not in _READERS:
        raise VggbatchError(
            f"no shard format {format_name!r}: what names it is damaged, or of another version"
        )
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
    input_warnings: tuple[InputWarning, ...]
    """What is left out, and what else is odd."""
    left_out: dict[str, Names]
    """What is neither image nor shard, by kind."""


@without_collection()
def survey(inputs: Sequence[str], reading: Reading | None = None) -> Survey:
    """As `discover`, also with what was left out or is odd.

    Args:
        inputs: as `discover` takes them.
        reading: may name the columns of tables, and says which labels are classes.
    """
    if not inputs:
        raise UsageError("no input given: name a folder, a shard, a glob or a list file")
    if not all(uri.strip() for uri in inputs):
        raise UsageError("an input is empty text: is a variable of the shell not set?")
    # the same file may be below two inputs
    left_out = LeftOut(seen=set() if len(inputs) > 1 else None)
    found = _Found(left_out, reading or Reading())
    for uri in inputs:
        alone = uris.is_local(uri) and os.path.isfile(uris.local_path(uri))
        for file in list_input(uri, found.left_out):
            if alone:
                found.alone.add(of_path(file.uri))
            found.add(file)
    found.look_into_unknown()
    found.look_into_parquet()
    found.check_bytes(inputs)
    found.check_logs(inputs)
    found.choose_in_tars()
    found.check_reached()
    files = [file for _, file in found.shards.values()]
    packed = check_sets([(file.uri, file.size, file.explicit) for file in files])
    named = [
        replace(shard, packed=packed.get(shard.uri))
        for shard in _named_shards(found.shards.values(), found.counts, found.layouts)
    ]
    input_warnings = found.input_warnings()
    shards = [*named, *slices(found.take_images())]
    if not shards:
        seen = "nothing is there"
        if kinds_seen := found.left_out.input_warnings():
            seen = f"only {found.left_out.count} other files ({'; '.join(map(str, kinds_seen))})"
        raise UsageError(f"no images and no shards in {', '.join(inputs)}: {seen}")
    return Survey(_apart(shards), input_warnings, found.left_out.kinds)


@dataclass
class _Found:
    """Files sorted into shards and images, each URI once."""

    left_out: LeftOut
    """Names under their input root."""
    reading: Reading
    shards: dict[str, tuple[str, Listed]] = field(default_factory=dict)
    loose: dict[str, Member] = field(default_factory=dict)
    named: list[Member] = field(default_factory=list)
    alone: set[str] = field(default_factory=set)
    """URIs of files that the user named one by one, as shells do for a glob."""
    unknown: list[Listed] = field(default_factory=list)
    """Files whose names do not say what they are."""
    counts: dict[str, int | None] = field(default_factory=dict)
    """Images in a file, by its URI, where a look at it shows them."""
    layouts: dict[str, Layout] = field(default_factory=dict)
    """The columns of a Parquet file, by its URI."""
    columns: set[str] = field(default_factory=set)
    """Names of the columns of all Parquet files."""
    logs: set[str] = field(default_factory=set)
    """Formats of tables whose logs were met."""

    def add(self, file: Listed) -> None:
        """Take in one file of a listing, or what it lists itself."""
        uri, shown = of_path(file.uri), names.printable(file.name)
        if (uri, shown) != (file.uri, file.name):
            file = replace(file, uri=uri, name=shown)
        name = names.without_query(file.name)
        if name.rpartition("/")[2] == PACK_DOCUMENT and not file.explicit:
            return  # looked at with the shards that it is of
        if not file.explicit and (table := versioned.format_of(name)):
            self.logs.add(table)
        kind = kinds.by_name(name)
        if kind in names.SHARD_FORMATS:
            file = replace(file, name=name)
        if file.error is not None:
            is_row = kind == IMAGE or kind in names.SHARD_FORMATS or file.explicit
            if file.fault and not is_row:
                self.left_out.add(file.fault, file.name, file.uri)
            else:
                self._add_image(file)
        elif file.explicit and names.suffix(name) in manifest.SUFFIXES:
            self._add_manifest(file)
        elif kind is None:
            self.unknown.append(file)
            if len(self.unknown) >= _UNKNOWN:
                self.look_into_unknown()
        else:
            self._take(file, kind)

    def look_into_unknown(self) -> None:
        """Decide by their first bytes what the files are whose names do not say it."""
        # a task for a file would cost more than the look at it
        share = -(-len(self.unknown) // _THREADS) or 1
        parts = [self.unknown[i : i + share] for i in range(0, len(self.unknown), share)]
        with ThreadPoolExecutor(_THREADS) as pool:
            kinds_of = chain.from_iterable(pool.map(_kinds_in, parts))
            for file, kind in zip(self.unknown, kinds_of, strict=True):
                self._take(file, kind)
        self.unknown.clear()

    def _take(self, file: Listed, kind: str) -> None:
        """Take in a file of a kind."""
        if kind in names.SHARD_FORMATS:
            self._keep_longest(kind, file)
        elif kind == IMAGE:
            self._add_image(file)
        elif not file.explicit:
            self.left_out.add(kind, file.name, file.uri)
        elif kind == ARCHIVE:
            raise _archive(file)
        else:
            self._add_image(file)

    def _add_image(self, file: Listed) -> None:
        known = self.loose.get(file.uri)
        if known is None or len(known.name) < len(file.name):
            self.loose[file.uri] = member_of(file)

    def look_into_parquet(self) -> None:
        """Separate Parquet files with images from manifests and from those that are neither."""
        files = [file for kind, file in self.shards.values() if kind == ParquetReader.format]
        files.sort(key=lambda file: file.uri)
        chosen: dict[bytes, Layout | None] = {}
        with ThreadPoolExecutor(_THREADS) as pool:
            for file, footer in zip(files, pool.map(_footer, files), strict=True):
                if footer is None:
                    continue  # its index says the rest
                schema = footer.schema.to_arrow_schema()
                key = schema.serialize().to_pybytes()
                self.columns.update(schema.names)
                if key not in chosen:
                    chosen[key] = _layout(file, schema, self.reading)
                if (found := chosen[key]) is not None:
                    self.layouts[file.uri] = found
                    # in a list there may be any number of images
                    self.counts[file.uri] = None if LIST in found.image else footer.num_rows
                    continue
                del self.shards[file.uri]
                if file.explicit:
                    self._add_manifest(file)
                else:
                    self.left_out.add(NO_IMAGES, file.name, file.uri)

    def choose_in_tars(self) -> None:
        """Note which image of each WebDataset sample the user named."""
        chosen = self.reading.columns.bytes
        if chosen is not None:
            layout_of_tars = Layout(chosen.lower().lstrip("."), None, None)
            tars = (file for kind, file in self.shards.values() if kind == TarReader.format)
            self.layouts.update((file.uri, layout_of_tars) for file in tars)

    def check_bytes(self, inputs: Sequence[str]) -> None:
        """Make sure that what is named for the bytes of images can be in one of the files.

        Raises:
            UsageError: it is in none.
        """
        name = self.reading.columns.bytes
        found = {kind for kind, _ in self.shards.values()}
        if name is not None and not found & {ParquetReader.format, TarReader.format}:
            where = ", ".join(map(public_uri, inputs))
            raise UsageError(f"{where}: {absent(name, sorted(self.columns))}")

    def check_logs(self, inputs: Sequence[str]) -> None:
        """Make sure that no log says of the Parquet files that some do not count any more.

        Raises:
            UsageError: one may.
        """
        parquet = [file for kind, file in self.shards.values() if kind == ParquetReader.format]
        if all(file.explicit for file in parquet):
            return
        of_columns = versioned.format_with(self.columns)
        for table in [*sorted(self.logs), *([of_columns] if of_columns else [])]:
            raise UsageError(f"{', '.join(map(public_uri, inputs))} {versioned.advice(table)}")

    def check_reached(self) -> None:
        """Make sure that something can be reached of what lists name.

        Raises:
            UsageError: all of the input is in stores that cannot be reached.
        """
        errors = [member.error or "" for member in self.named]
        unreached = errors and all(error.startswith(manifest.UNREACHED) for error in errors)
        if unreached and not self.shards and not self.loose:
            raise UsageError(errors[0].removeprefix(manifest.UNREACHED))

    def images(self) -> list[Member]:
        """All image files, those of manifests as often as they are named."""
        loose = self.loose
        if len(self.alone) > 1:
            chosen = [uri for uri in loose if uri in self.alone and "/" not in loose[uri].name]
            members = below_common_folder([loose[uri] for uri in chosen])
            loose = {**loose, **dict(zip(chosen, members, strict=True))}
        return [*loose.values(), *self.named]

    def take_images(self) -> list[Member]:
        """As `images`, and keeps none of them."""
        images = self.images()
        self.loose, self.named = {}, []
        return images

    def input_warnings(self) -> tuple[InputWarning, ...]:
        """What is odd about all that was found."""
        images = self.images()
        files = [file for _, file in self.shards.values()]
        empty = [member.name for member in images if member.size == 0 and not member.error]
        empty += [file.name for file in files if file.size == 0]
        count = Counter(member.name for member in images)
        repeats = [name for name, times in count.items() for _ in range(times - 1)]
        masks = companions([member.name for member in images])
        odd = collect([(EMPTY, empty), (SAME_NAME, repeats), (COMPANIONS, masks)])
        return (*self.left_out.input_warnings(), *odd)

    def _keep_longest(self, format_name: str, file: Listed) -> None:
        """Where two inputs overlap, a file's name is that under the outer one."""
        known = self.shards.get(file.uri)
        if known is None or len(known[1].name) < len(file.name):
            self.shards[file.uri] = format_name, file

    def _add_manifest(self, file: Listed) -> None:
        shards = []
        for member in below_common_folder(list(read_manifest(file.uri, self.reading))):
            name = names.without_query(member.name)
            if names.shard_format(name) and member.source and not member.error:
                shards.append(member.source)
            else:
                self.named.append(replace(member, version=""))
        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(self._listed, shards):
                for shard in found:
                    self.add(shard)

    def _listed(self, uri: str) -> list[Listed]:
        """The files of a line of a manifest; what cannot be listed is one with an error."""
        try:
            return list(list_input(uri, self.left_out))
        except UsageError as fault:
            error = ImageError("missing", str(fault).removeprefix(f"{uri}: "))
            name = public_uri(uri).rsplit("/", 1)[-1]
            return [Listed(uri, name, -1, "", explicit=True, error=str(error))]


def _archive(file: Listed) -> UsageError:
    """The refusal of an archive that the user named."""
    what = "a compressed file or archive"
    with suppress(OSError), open_binary(file.uri, file.size) as opened:
        if content := recognize(opened.read(kinds.HEAD)):
            what = content.name
    if file.name.lower().endswith(_COMPRESSED_TAR):
        what = f"a compressed tar ({what})"
    return UsageError(
        f"{public_uri(file.uri)} is {what}, which cannot be read in place: decompress or unpack "
        "it, or make it a tar"
    )


def _kinds_in(files: Sequence[Listed]) -> list[str]:
    return [_in_unknown(file) for file in files]


def _in_unknown(file: Listed) -> str:
    """What a file counts as, by its first bytes."""
    try:
        with open_binary(file.uri, file.size) as opened:
            return kinds.by_content(opened.read(kinds.HEAD))
    except FileNotFoundError:
        return IMAGE if file.explicit else DEAD_LINK
    except OSError:
        return IMAGE if file.explicit else UNREAD


def _opened(file: BinaryIO) -> pq.ParquetFile:
    """A Parquet file that may be a manifest, whose rows are shorter than images."""
    return open_guarded(file, file.seek(0, os.SEEK_END), rows_a_byte=16)


def _footer(file: Listed) -> pq.FileMetaData | None:
    """The footer of a Parquet file, None where it cannot be read."""
    try:
        with open_binary(file.uri, file.size) as opened:
            return _opened(opened).metadata
    except (pa.ArrowException, OSError):
        return None


def _layout(file: Listed, schema: pa.Schema, reading: Reading) -> Layout | None:
    """The columns of a Parquet file, which its content decides where several fit."""
    found = None
    try:
        with open_binary(file.uri, file.size) as opened:
            parquet = _opened(opened)
            found = layout(schema, reading.columns, partial(first_rows, parquet))
            return found and replace(found, label=label_of(parquet, found, reading))
    except ValueError as error:
        if not isinstance(error, pa.ArrowException):
            raise UsageError(f"{public_uri(file.uri)}: {error}") from None
    except (pa.ArrowException, OSError):
        pass
    # damaged, as its index says, which reads the labels as well
    found = found or layout(schema, reading.columns)
    return found and replace(found, label=usual_label(schema, reading))


def _named_shards(
    files: Iterable[tuple[str, Listed]],
    counts: Mapping[str, int | None],
    layouts: Mapping[str, Layout],
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
        Shard(
            format_name,
            file.uri,
            name,
            file.size,
            file.version,
            images=counts.get(file.uri),
            layout=layouts.get(file.uri),
        )
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
