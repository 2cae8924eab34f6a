"""What a source of images is: shards, their members, and the reader class that a format implements.

A format is a subclass of `Reader` with one method, `index`, that walks a shard and yields its
members. Everything else (opening, retries, unique names, damage, ranged reads) is here.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from vggbatch.errors import ImageError, VggbatchError
from vggbatch.preprocess.content import HEAD, Form, recognize
from vggbatch.sources import names
from vggbatch.sources.input_warnings import FURTHER, LEFT_OUT, NO_MEMBERS, LeftOut, Names, Skipped
from vggbatch.storage.complete import ShortRead
from vggbatch.storage.filesystem import Folder, arrow_file, public_uri
from vggbatch.storage.parquet_check import open_checked
from vggbatch.storage.ranges import Data, Range, open_binary, read_ranges

MEMBERS_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("error", pa.string()),
        pa.field("run", pa.int32()),
        pa.field("version", pa.string()),
    ]
)
"""The images of a shard. `name`: unique in the shard. `source`: URI of the file, null when it is
the shard. `offset`, `size`: bytes; size -1 is unknown, and then the file is read whole. `label`:
the label that came with the image, a WordNet id or an integer. `error`: `kind: message` of a
member that is known to be bad. `run`: the same for neighbors that are stored as one (a Parquet row
group) and read for the price of one; null where each has bytes of its own. `version`: of a file of
a listing, what changes when its content does; null inside of shards, which have versions."""

_LEFT_OUT_KEY = b"vggbatch.left_out"
"""Of the metadata of a table of images: what else is in the input."""
_LARGEST_INDEX = 2**32
"""Bytes of a shard's index that is kept."""
_FORM_OF = {"tar": Form.TAR, "parquet": Form.PARQUET}

DAMAGED = "#damaged"
"""Name of the member that stands for what a damaged shard has lost."""


@dataclass(frozen=True, slots=True)
class Member:
    """One image in a shard, as `Reader.index` yields it; the fields are those of MEMBERS_SCHEMA."""

    name: str
    offset: int
    size: int
    label: str | None = None
    source: str | None = None
    error: str | None = None
    run: int | None = None
    version: str | None = None


@dataclass(frozen=True)
class Layout:
    """Which columns of a table of images hold what, or which member of a tar's samples."""

    image: str
    """Dotted path of the column with the bytes; what follows the key in the member's name."""
    name: str | None
    label: str | None


@dataclass(frozen=True)
class Packed:
    """What `vggbatch pack` put into a shard; one that has something else now is damaged."""

    images: int
    labels: int | None
    """In members of their own; None where that was not recorded."""


@dataclass(frozen=True)
class Shard:
    """A file that holds images, or a slice of a listing of loose files. Cheap to pickle."""

    format: str
    uri: str
    name: str
    """Unique among the shards of a job and the first part of its images' ids; "" for a listing."""
    size: int
    """Bytes, of the file or of the listed files together; -1 is unknown."""
    version: str
    """Changes when the content does."""
    members: pa.Table | None = None
    """MEMBERS_SCHEMA, for a listing; None for a file, which its reader indexes."""
    images: int | None = None
    """How many, where that was learned with the listing or by indexing."""
    layout: Layout | None = None
    """The columns of a Parquet file, as they were chosen for the whole job; None for a tar: the
    usual picture of each sample."""
    packed: Packed | None = None
    """Of a file that belongs to a set by `vggbatch pack`."""
    follows: bool = True
    """Whether rows of a Parquet file may name files in place of their bytes."""

    def image_ids(self, members: pa.Table) -> list[str]:
        """The image ids of members of this shard."""
        member_names: list[str] = members["name"].to_pylist()
        return [f"{self.name}/{name}" for name in member_names] if self.name else member_names

    def public(self) -> Shard:
        """The shard as it may be written down: no URI keeps what may be secret.

        The presigned address of an image can then not be opened, which a run does not: it has them
        from its manifest, with signatures that are good.
        """
        members = self.members
        if members is not None and any("://" in s for s in members["source"].to_pylist() if s):
            shown = [s and public_uri(s) for s in members["source"].to_pylist()]
            place = members.schema.get_field_index("source")
            members = members.set_column(place, MEMBERS_SCHEMA.field("source"), [shown])
        return replace(self, uri=public_uri(self.uri), members=members)

    def sources(self, members: pa.Table) -> list[str]:
        """What may be shown of the URIs that members of this shard come from."""
        shard = public_uri(self.uri)
        return [public_uri(s) if s else shard for s in members["source"].to_pylist()]


class Reader(ABC):
    """Reads one format of shard. Stateless, so one object serves every shard."""

    format: ClassVar[str]

    @abstractmethod
    def index(self, file: BinaryIO, shard: Shard) -> Iterator[Member | Skipped]:
        """Yield the images of an open shard in file order, and what else it holds.

        Names may repeat; `members` makes them unique. A member's `offset` and `size` delimit the
        bytes that `payload` turns into image bytes.

        Raises:
            ImageError: of kind `bad_shard`, where the shard turns out to be damaged; what was
                yielded before stays.
        """

    def first_members(self, shard: Shard, count: int) -> list[Member]:
        """About the first so many images of a shard, as far as they can be read.

        Raises:
            OSError: the store does not answer, or the shard is not there.
        """
        found: list[Member] = []
        try:
            with open_binary(shard.uri, shard.size) as file:
                members = (m for m in self.index(file, shard) if isinstance(m, Member))
                found.extend(islice(members, count))
        except ImageError:
            pass  # a damaged shard says so in its rows
        return found

    def payload(self, data: Data) -> bytes:
        """The image bytes inside the bytes of a member. Raises ImageError if they are damaged."""
        return bytes(data)

    def members(self, shard: Shard, cache: Folder | None = None) -> pa.Table:
        """The shard's images, in file order (MEMBERS_SCHEMA); `left_out_of` says what else it has.

        Args:
            shard: the shard to index.
            cache: folder that keeps indexes from one run to the next.

        Raises:
            OSError: the store does not answer; a missing or damaged file is a row with an error.
        """
        if shard.members is not None:
            return shard.members
        return _as_packed(shard, self._members(shard, cache))

    def _members(self, shard: Shard, cache: Folder | None) -> pa.Table:
        """What the shard has, from the cache or the file."""
        if cache is None or not shard.version:
            return self._indexed(shard)
        address = public_uri(shard.uri)
        parts = (shard.format, address, shard.size, shard.version, shard.layout)
        key = hashlib.sha256("\n".join(map(str, parts)).encode())
        name = f"{key.hexdigest()[:32]}.parquet"
        try:
            table = open_checked(arrow_file(cache.read_bytes(name, _LARGEST_INDEX))).read()
            table = table.cast(MEMBERS_SCHEMA.with_metadata(table.schema.metadata))
            left_out_of(table)
            # no run writes another one: the images of a shard are in the shard
            if table["source"].null_count == len(table):
                return table
        except FileNotFoundError:
            pass
        except (ValueError, OSError, TypeError, AttributeError, pa.ArrowException):
            cache.delete(name)  # damaged, or of somebody else's making
        table = self._indexed(shard)
        if table["error"].null_count < len(table):
            return table
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        cache.write_bytes(name, sink.getvalue().to_pybytes())
        return table

    def read(
        self, shard: Shard, members: pa.Table, max_bytes: int = 2**62
    ) -> Iterator[bytes | ImageError]:
        """The image bytes of members, in their order, or what is wrong with each.

        Neighboring members are read together, and ahead of the caller within a bounded amount
        of memory.

        Args:
            shard: the shard that `members` came from.
            members: rows of `self.members(shard)`, any subset.
            max_bytes: larger members are `too_large`, unread.

        Raises:
            OSError: the store does not answer, after retries.
        """
        wanted: list[Range | ImageError] = []
        for row in members.select(["source", "offset", "size", "error"]).to_pylist():
            if row["error"]:
                wanted.append(as_error(row["error"]))
            elif row["size"] > max_bytes:
                wanted.append(too_large(row["size"], max_bytes))
            else:
                whole = row["source"] is not None
                place = row["source"] or shard.uri
                wanted.append(Range(place, row["offset"], row["size"], whole))
        for data in read_ranges(wanted, max_bytes):
            if isinstance(data, ImageError):
                yield data
                continue
            try:
                yield self.payload(data)
            except ImageError as error:
                yield error

    def _indexed(self, shard: Shard) -> pa.Table:
        rows: list[Member] = []
        left_out = LeftOut()
        try:
            with open_binary(shard.uri, shard.size) as file:
                try:
                    # What was yielded before an error stays.
                    for item in self.index(file, shard):
                        if isinstance(item, Skipped):
                            left_out.add(item.what, f"{shard.name}/{item.name}")
                        else:
                            rows.append(item)
                except ImageError as error:
                    rows.append(_damaged(error if rows else self._named(file, error)))
                except (OSError, VggbatchError):
                    raise
                except Exception as error:
                    # hostile bytes meet libraries with any exception there is, in every pass again
                    text = f"cannot be read ({type(error).__name__}: {error})"
                    rows.append(_damaged(ImageError("bad_shard", text)))
        except ShortRead as error:
            rows.append(_damaged(ImageError("truncated", str(error))))
        except FileNotFoundError:
            rows.append(_damaged(ImageError("missing", "the shard is not there any more")))
        except PermissionError as error:
            rows.append(_damaged(ImageError("unreadable", f"the shard may not be read: {error}")))
        if not rows:
            left_out.add(NO_MEMBERS, shard.name)
        return with_left_out(members_table(with_unique_names(rows)), left_out.kinds)

    def _named(self, file: BinaryIO, error: ImageError) -> ImageError:
        """The error of a file that is no shard of this format at all, with what it is instead."""
        file.seek(0)
        content = recognize(file.read(HEAD))
        if content is None or _FORM_OF.get(self.format) is content.form:
            return error
        return ImageError(error.kind, f"no {self.format} but {content}")


def with_left_out(table: pa.Table, kinds: Mapping[str, Names]) -> pa.Table:
    """A table of images with a note of what was met beside them, by kind."""
    return table.replace_schema_metadata({_LEFT_OUT_KEY: LeftOut(dict(kinds)).to_json()})


def left_out_of(table: pa.Table) -> dict[str, Names]:
    """What was met beside the images of a table, as `Reader.members` and `predict` note it."""
    text = (table.schema.metadata or {}).get(_LEFT_OUT_KEY)
    return LeftOut.from_json(text).kinds if text else {}


def _as_packed(shard: Shard, table: pa.Table) -> pa.Table:
    """The table, with a row for what it lacks of what was packed, or has beyond that.

    A tar ends where two blocks are zeros: what a bad copy has lost behind them shows here alone.
    """
    packed = shard.packed
    if packed is None or table["error"].null_count < len(table):
        return table
    left_out = left_out_of(table)
    images = len(table) + left_out.get(FURTHER, Names()).count
    labels = left_out.get(LEFT_OUT, Names()).count
    if images != packed.images:
        text = f"it has {images} images, and {packed.images} were packed"
    elif packed.labels is not None and labels != packed.labels:
        text = f"it has {labels} labels, and {packed.labels} were packed"
    else:
        return table
    text += ": copy it again, or pack it again"
    row = members_table([_damaged(ImageError("bad_shard", text))])
    return with_left_out(pa.concat_tables([table.replace_schema_metadata(None), row]), left_out)


def _damaged(error: ImageError) -> Member:
    return Member(DAMAGED, 0, 0, error=str(error))


def as_error(text: str) -> ImageError:
    """The error that a member's `error` says in words."""
    kind, _, message = text.partition(": ")
    return ImageError(kind, message)


def too_large(size: int, max_bytes: int) -> ImageError:
    """The error of a member with more bytes than allowed."""
    return ImageError("too_large", f"{size} bytes are more than max_bytes {max_bytes}")


def members_table(rows: Sequence[Member]) -> pa.Table:
    """The rows as a table (MEMBERS_SCHEMA); their names must be unique."""
    return pa.table(
        {name: [getattr(row, name) for row in rows] for name in MEMBERS_SCHEMA.names},
        schema=MEMBERS_SCHEMA,
    )


def with_unique_names(rows: Sequence[Member]) -> list[Member]:
    """The rows in their order; a name that comes again gets `#2`, `#3` and so on."""
    unique = names.unique([row.name for row in rows])
    return [
        row if row.name == name else replace(row, name=name)
        for row, name in zip(rows, unique, strict=True)
    ]
