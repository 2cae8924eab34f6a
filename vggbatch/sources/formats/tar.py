"""Tar and WebDataset shards, read in place: plain, GNU and PAX headers, and tars inside a tar."""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import BinaryIO, cast

from vggbatch.errors import ImageError
from vggbatch.sources import kinds, names
from vggbatch.sources.base import DAMAGED, Member, Reader, Shard
from vggbatch.sources.formats.tar_headers import HeaderFile
from vggbatch.sources.formats.webdataset import further_images, is_metadata, split_key
from vggbatch.sources.input_warnings import ARCHIVE, FURTHER, HIDDEN, LEFT_OUT, SPECIAL, Skipped
from vggbatch.sources.kinds import IMAGE
from vggbatch.storage.ranges import open_binary
from vggbatch.storage.stream import RemoteFile

_MAX_LABEL_BYTES = 1024
"""A .cls member is the number or the names of a class; anything longer is something else."""

_PADDING = 2**20
"""How far past the end of an archive to look for another one appended to it, in bytes. Writers pad
to a record, 10 KiB by default."""


_RECORDS = (10240, 2**15, 2**16, 2**17, 2**18, 2**19, 2**20)
"""Bytes to a multiple of which archives are padded with zeros: by default, and for tapes."""
_END_BYTES = 2 * tarfile.BLOCKSIZE
"""Of the zeros that mark the end, before any padding."""
_MAX_HEADER_BYTES = 2**22
"""Of a header and its name or PAX records."""
_DEEPEST = 4
"""Tars inside one another; ILSVRC2012_img_train.tar has one level."""
_HOSTILE = (
    *(tarfile.TarError, UnicodeError, ValueError, OverflowError, RecursionError),
    *(LookupError, TypeError, AttributeError),
)
"""What tarfile raises at headers that it did not expect."""


class TarReader(Reader):
    """Images in an uncompressed tar; labels from .cls members or folders named by WordNet ids."""

    format = "tar"

    def index(self, file: BinaryIO, shard: Shard) -> Iterator[Member | Skipped]:
        """Yield the image members, each labeled by the .cls member of its WebDataset key."""
        return self._index(file, shard, None)

    def first_members(self, shard: Shard, count: int) -> list[Member]:
        """About the first so many images of a shard, as far as they can be read."""
        found: list[Member] = []
        try:
            with open_binary(shard.uri, shard.size) as file:
                some = self._index(file, shard, 2 * count)
                found.extend(entry for entry in some if isinstance(entry, Member))
        except ImageError:
            pass  # a damaged shard says so in its rows
        return found

    def _index(self, file: BinaryIO, shard: Shard, most: int | None) -> Iterator[Member | Skipped]:
        """As `index`, of the first so many members."""
        images: dict[str, Member] = {}
        members: list[Member] = []
        classes: dict[str, str] = {}
        samples: set[str] = set()
        damage: ImageError | None = None
        if isinstance(file, RemoteFile):
            file = cast(BinaryIO, HeaderFile(file))
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            for name, info in islice(walk(file, "", end), most):
                if isinstance(info, ImageError):
                    members.append(Member(name, 0, 0, error=str(info)))
                    continue
                if isinstance(info, Skipped):
                    yield info
                    continue
                kind = _kind_of(file, name, info, images)
                if kind == IMAGE:
                    members.append(_located(name, info, images))
                    continue
                if names.suffix(name) == "cls" and info.size <= _MAX_LABEL_BYTES:
                    classes[name[: -len(".cls")]] = _text(file, info)
                key, rest = split_key(name)
                if is_metadata(rest):
                    samples.add(key)
                yield Skipped(kind, name)
        except ImageError as error:
            damage = error
        images_found = [member.name for member in members]
        chosen = shard.layout.image if shard.layout else None
        further = further_images(images_found, samples, chosen)
        if members and len(further) == len(set(images_found)):
            raise ImageError("bad_shard", f"no image is named *.{chosen}, as columns.bytes says")
        for member in members:
            if member.name in further:
                yield Skipped(FURTHER, member.name)
                continue
            label = _class_of(member.name, classes) if classes else None
            label = label or names.wnid_of_folder(f"{shard.name}/{member.name}")
            yield replace(member, label=label)
        if damage:
            raise damage


def _kind_of(file: BinaryIO, name: str, info: tarfile.TarInfo, images: Mapping[str, Member]) -> str:
    """What a member counts as; where its name does not say, by its first bytes."""
    kind = kinds.by_name(name)
    if kind is None and not info.isfile():
        return IMAGE if _target(name, info) in images else LEFT_OUT
    if kind is None:
        kind = kinds.by_content(_head(file, info))
    # a shard of another format inside a tar cannot be read in place
    return kind if kind not in names.SHARD_FORMATS else ARCHIVE


def walk(
    file: BinaryIO, prefix: str, end: int, depth: int = 0
) -> Iterator[tuple[str, tarfile.TarInfo | ImageError | Skipped]]:
    """Every file from the position on, and those of tars inside; `end` is the last byte's.

    Archives that follow one another are one.

    Raises:
        ImageError: `bad_shard`, when an archive does not end as one should.
    """
    following: int | None = file.tell()
    while following is not None:
        file.seek(following)
        following = yield from _archive(file, prefix, end, depth)


def _archive(
    file: BinaryIO, prefix: str, end: int, depth: int
) -> Generator[tuple[str, tarfile.TarInfo | ImageError | Skipped], None, int | None]:
    """The files of the archive at the position, and of tars inside; where the next archive is."""
    offset = file.tell()
    headers = cast(BinaryIO, _Headers(file))
    try:
        tar = tarfile.TarFile(fileobj=headers, encoding="utf-8", errors="replace")
        while (info := tar.next()) is not None:
            if info.size < 0 or tar.offset <= offset:
                # tarfile would read what it has read before, without end
                raise ImageError("bad_shard", f"tar damaged at byte {offset}: a negative size")
            # TarFile keeps every member that it has seen, which is the whole index once more.
            tar.members.clear()  # type: ignore[attr-defined]
            offset = tar.offset
            name = prefix + info.name.removeprefix("./")
            if info.isdir():
                continue
            if names.is_hidden(name):
                yield name, Skipped(HIDDEN, name)
                continue
            if not (info.isfile() or info.islnk() or info.issym()):
                yield name, Skipped(SPECIAL, name)
                continue
            if info.isfile() and info.offset_data + info.size > end:
                raise ImageError("bad_shard", f"tar cut short inside {name}")
            if info.issparse():
                yield name, ImageError("corrupt", "sparse tar members are not read")
            elif info.isfile() and names.suffix(name) == "tar":
                yield from _nested(file, name, info, depth + 1)
            else:
                yield name, info
    except _HOSTILE as error:
        raise ImageError("bad_shard", f"tar damaged at byte {offset}: {error}") from None
    return _after_end(file, tar.offset, end)


class _Headers:
    """A tar as tarfile reads it: headers alone, and so never much at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise ImageError("bad_shard", f"tar damaged: a header of {size} bytes")
        return self._file.read(size)


def _nested(
    file: BinaryIO, name: str, info: tarfile.TarInfo, depth: int
) -> Iterator[tuple[str, tarfile.TarInfo | ImageError | Skipped]]:
    """The files of a tar that is itself a member, as in ILSVRC2012_img_train.tar."""
    if depth > _DEEPEST:
        yield name, ImageError("corrupt", f"tars inside tars are read {_DEEPEST} deep")
        return
    resume = file.tell()
    file.seek(info.offset_data)
    try:
        yield from walk(file, f"{name}/", info.offset_data + info.size, depth)
    except ImageError as error:
        yield f"{name}/{DAMAGED}", error
    file.seek(resume)


def _after_end(file: BinaryIO, offset: int, end: int) -> int | None:
    """Where another archive follows the one that ends at `offset`; None if none does.

    tarfile stops silently at a cut and at a damaged header; here neither is taken for a real end.
    """
    file.seek(offset)
    block = file.read(min(tarfile.BLOCKSIZE, end - offset))
    if len(block) < tarfile.BLOCKSIZE:
        raise ImageError("bad_shard", f"tar cut short at byte {offset + len(block)}")
    if any(block):
        raise ImageError("bad_shard", f"tar header damaged at byte {offset}")
    padding = file.read(min(_PADDING, end - file.tell()))
    stripped = padding.lstrip(b"\0")
    if not stripped:
        if not _is_padding(end - offset, end, empty=offset == 0):
            raise ImageError(
                "bad_shard", f"tar of {end} bytes has zeros from byte {offset} on: copy it again"
            )
        return None
    start = offset + tarfile.BLOCKSIZE + len(padding) - len(stripped)
    return start - start % tarfile.BLOCKSIZE


def _located(name: str, info: tarfile.TarInfo, images: dict[str, Member]) -> Member:
    """The member of an image, which may be a link to one that came before; kept in `images`."""
    if info.isfile():
        images[name] = Member(name, info.offset_data, info.size)
        return images[name]
    target = _target(name, info)
    if target not in images:
        error = ImageError("missing", f"a link to {target}, which is not in the tar before it")
        return Member(name, 0, 0, error=str(error))
    return replace(images[target], name=name)


def _target(name: str, info: tarfile.TarInfo) -> str:
    """The name of the member that a link leads to."""
    target = info.linkname.removeprefix("./")
    if info.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return target


def _head(file: BinaryIO, info: tarfile.TarInfo) -> bytes:
    """The first bytes of a member; the position stays."""
    resume = file.tell()
    file.seek(info.offset_data)
    data = file.read(min(info.size, kinds.HEAD))
    file.seek(resume)
    return data


def _text(file: BinaryIO, info: tarfile.TarInfo) -> str:
    resume = file.tell()
    file.seek(info.offset_data)
    data = file.read(info.size)
    file.seek(resume)
    return data.decode("utf-8", "replace").strip()


def _class_of(name: str, classes: dict[str, str]) -> str | None:
    """The class text of an image: WebDataset's key ends at the first dot, others' at the last."""
    folder, slash, base = name.rpartition("/")
    while "." in base:
        base = base.rpartition(".")[0]
        text = classes.get(folder + slash + base)
        if text is not None:
            return text
    return None


def _is_padding(zeros: int, end: int, *, empty: bool) -> bool:
    """Whether so many zeros at the end of an archive are what a writer puts there.

    More are what a copy or a download leaves that was interrupted after space had been set aside.
    """
    if zeros <= _RECORDS[0] + _END_BYTES:
        return True
    return not empty and any(end % size == 0 and zeros < size + _END_BYTES for size in _RECORDS)
