"""From what the user names to shards: formats recognised, names unique, order always the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from vggbatch.errors import UsageError
from vggbatch.sources import names
from vggbatch.sources.base import Member, Reader, Shard
from vggbatch.sources.folder import FileReader, member_of, slices
from vggbatch.sources.listing import Listed, list_input
from vggbatch.sources.manifest import read_manifest
from vggbatch.sources.tar import TarReader

_READERS: dict[str, Reader] = {reader.format: reader for reader in (FileReader(), TarReader())}
_SHARD_SUFFIXES = {"tar": "tar"}
_MANIFEST_SUFFIXES = frozenset({"csv", "tsv", "txt", "lst", "list"})
_COMPRESSED_TAR = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


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
    ignored: list[str]
    """Files in folders that are neither images nor shards: names under their input root."""


def survey(inputs: Sequence[str]) -> Survey:
    """As `discover`, also with what was left out."""
    if not inputs:
        raise UsageError("no input given: name a folder, a shard, a glob or a list file")
    found = _Found()
    for uri in inputs:
        for file in list_input(uri):
            found.add(file)
    shards = [*_named_shards(found.shards.values()), *slices(found.images())]
    if not shards:
        seen = f"{len(found.ignored)} other files" if found.ignored else "nothing at all"
        raise UsageError(f"no images and no shards in {', '.join(inputs)}, but {seen}")
    return Survey(_apart(shards), sorted(found.ignored))


@dataclass
class _Found:
    """Files sorted into shards and images, each URI once."""

    shards: dict[str, tuple[str, Listed]] = field(default_factory=dict)
    loose: dict[str, tuple[Member, str]] = field(default_factory=dict)
    named: list[tuple[Member, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def add(self, file: Listed) -> None:
        """Take in one file of a listing, or what it lists itself."""
        end = names.suffix(file.name)
        if file.name.lower().endswith(_COMPRESSED_TAR) and file.explicit:
            raise UsageError(f"{file.uri}: a compressed tar cannot be read in place; decompress it")
        if end in _SHARD_SUFFIXES:
            self._keep_longest(_SHARD_SUFFIXES[end], file)
        elif end in _MANIFEST_SUFFIXES and file.explicit:
            self._add_manifest(file)
        elif names.is_image(file.name) or file.explicit:
            known = self.loose.get(file.uri)
            if known is None or len(known[0].name) < len(file.name):
                self.loose[file.uri] = member_of(file), file.version
        else:
            self.ignored.append(file.name)

    def images(self) -> Iterable[tuple[Member, str]]:
        """All image files, those of manifests as often as they are named."""
        return [*self.loose.values(), *self.named]

    def _keep_longest(self, format_name: str, file: Listed) -> None:
        """Where two inputs overlap, a file's name is that under the outer one."""
        known = self.shards.get(file.uri)
        if known is None or len(known[1].name) < len(file.name):
            self.shards[file.uri] = format_name, file

    def _add_manifest(self, file: Listed) -> None:
        for member in read_manifest(file.uri):
            end = names.suffix(names.public_uri(member.name))
            if end in _SHARD_SUFFIXES and member.source:
                for shard in list_input(member.source):
                    self._keep_longest(_SHARD_SUFFIXES[end], shard)
            else:
                self.named.append((member, ""))


def _named_shards(files: Iterable[tuple[str, Listed]]) -> list[Shard]:
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
        Shard(format_name, file.uri, name, file.size, file.version)
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
