"""Log lines that say which run, shard and chunk they are about.

With `compute.log_format=json` Ray writes them as JSON, with the node, the process and the task
added, to the driver's standard error and to the workers' files in Ray's log folder.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from vggbatch.pipeline.chunk import ChunkKey

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # takes no type argument before Python 3.11


class RunLogger(_Adapter):
    """A logger of one run: each line carries `run_id`, `host` and what it is given as fields."""

    def __init__(self, name: str, run_id: str) -> None:
        super().__init__(logging.getLogger(name), {"run_id": run_id, "host": socket.gethostname()})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run's fields to the line's own."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def chunk_fields(key: ChunkKey) -> dict[str, int]:
    """The fields of a line about a chunk; a shard as a whole has no chunk number."""
    fields = {"group": key.group, "shard": key.shard}
    return fields if key.chunk < 0 else {**fields, "chunk": key.chunk}
