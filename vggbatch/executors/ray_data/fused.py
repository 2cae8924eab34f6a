"""What is left to processes of tasks, and what a classifier does itself.

A chunk that passes from task to task costs the driver of a run 33 ms of a core, and 16 where one
call takes it from its members to its staging file (64 classifiers, measured): each task is sent,
waited for and forgotten, and so is each of its results. Its pictures need not pass through the
object store either. So classifiers decode and write their chunks wherever they have nothing but
cores; a GPU takes pictures from more decoders than it has threads.

Where all there is to do are a few chunks of files that are listed already, the driver cuts them
too: the process of a task takes three to four seconds of a core to start (measured), and Ray ends
one that was idle for a second wherever there are more processes than CPUs. A run that waited for
processes which decode and others which write took twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pyarrow as pa

from vggbatch.chunks.chunk import NumberedShard
from vggbatch.pipeline.stages import Classify, StageContext, capture_failure, decode, write

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


class FusedClassify:
    """A classifier actor that also decodes its chunks and writes them.

    It takes several calls at once, each in a thread of its own: one chunk is classified while the
    next one is read and decoded, in as many threads.
    """

    calls_at_once = 2

    def __init__(self, context: StageContext) -> None:
        self.context = context
        # the thread that opens the networks has their cores, and so it is to run them
        self._thread = ThreadPoolExecutor(1, "classify")
        self._classify = self._thread.submit(Classify, context).result()
        # of one chunk at a time: a node's memory is checked for an image on each core
        self._decoding = Lock()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Take one chunk from its members to its staging file."""
        with self._decoding:
            table = capture_failure(table, decode, self.context, None, self.context.threads)
        table = self._thread.submit(self._classify, table).result()
        return capture_failure(table, write, self.context)
