"""Runs that are done before a process for each stage has started: a classifier does all of them.

The process of a task takes three to four seconds of a core to start (measured), and Ray ends one
that was idle for a second wherever there are more processes than CPUs. Where all there is to do are
a few chunks of files that are listed already, a run that waited for processes which decode and
others which write took twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.config import ComputeOptions
from vggbatch.pipeline.stages import Classify, capture_failure, decode, write

_FEW = 256
"""Chunks that the driver cuts and compacts itself, in milliseconds each."""


def few_listed(shards: Sequence[NumberedShard], chunk_size: int) -> bool:
    """Whether the members of all shards are known, and so few that no task is worth its start."""
    chunks = 0
    for _, _, shard in shards:
        if shard.members is None:
            return False
        chunks += -(-shard.members.num_rows // chunk_size)
    return chunks <= _FEW


def may_decode(options: ComputeOptions) -> bool:
    """Whether classifiers may decode: a GPU would wait meanwhile, and tasks may be asked for."""
    return options.provider == "cpu" and options.decode_tasks is None


class ClassifyAndAll(Classify):
    """A classifier actor that also decodes its chunks and writes them."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Take one chunk from its members to its staging file."""
        table = capture_failure(table, decode, self.context, None, self.context.threads)
        table = capture_failure(table, self.classify, self.context)
        return capture_failure(table, write, self.context)
