"""Folders of files, and the images that readers find in shards."""

from vggbatch.sources.base import Shard
from vggbatch.sources.discover import reader_for


def write(root, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(root)


def read_all(shards: list[Shard]) -> dict[str, bytes]:
    result: dict[str, bytes] = {}
    for shard in shards:
        reader = reader_for(shard.format)
        members = reader.members(shard)
        ids = shard.image_ids(members)
        assert result.keys().isdisjoint(ids)
        result.update(zip(ids, reader.read(shard, members), strict=True))
    return result
