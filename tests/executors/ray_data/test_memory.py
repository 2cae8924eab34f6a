"""What a plan holds in the driver does not grow with the number of chunks."""

import time

import pyarrow as pa
import pytest

from vggbatch.cluster.connection import Cluster
from vggbatch.config import ComputeOptions
from vggbatch.executors.ray_data.dataset import data_context

CHUNKS = 5


def produce(table):
    for chunk in range(CHUNKS):
        number = table["shard"][0].as_py() * CHUNKS + chunk
        yield pa.table({"number": [number], "produced": [time.time()]})


def consume(table, seconds):
    time.sleep(seconds)
    return table.append_column("consumed", pa.array([time.time()]))


class Kept:
    """Blocks that Ray Data has kept statistics of, at the end of a pass."""

    blocks = -1

    @staticmethod
    def watch(monkeypatch):
        from vggbatch.executors.ray_data.internals import _Hold

        ended = _Hold.after_execution_succeeds

        def after(self, executor):
            Kept.blocks = sum(len(op._output_blocks_stats) for op in list(executor._topology)[1:])
            ended(self, executor)

        monkeypatch.setattr(_Hold, "after_execution_succeeds", after)


def pass_over_chunks(shards, seconds):
    import ray.data

    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        data_context(Cluster([2.0], own=True, here=2.0), ComputeOptions(), chunk_work=1),
    ):
        Kept.watch(monkeypatch)
        tables = {"batch_size": None, "batch_format": "pyarrow", "concurrency": 1}
        results = (
            ray.data.from_blocks([pa.table({"shard": [shard]}) for shard in range(shards)])
            .map_batches(produce, num_cpus=0.01, **tables)
            .map_batches(consume, fn_kwargs={"seconds": seconds}, num_cpus=0.02, **tables)
            .iter_batches(batch_size=None, batch_format="pyarrow")
        )
        return pa.concat_tables(results).sort_by("number").to_pydict()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_fast_stage_waits_for_a_slow_one():
    seen = pass_over_chunks(30, 0.1)
    assert seen["number"] == list(range(30 * CHUNKS))
    ahead = [
        sum(produced < consumed for produced in seen["produced"]) - number
        for number, consumed in enumerate(sorted(seen["consumed"]))
    ]
    # 16 that wait, and those on their way in and out of tasks; without a bound about 100
    assert max(ahead) < 50, ahead


@pytest.mark.usefixtures("ray_cluster")
def test_blocks_that_were_are_forgotten():
    seen = pass_over_chunks(10, 0.01)
    assert seen["number"] == list(range(10 * CHUNKS))
    assert 0 <= Kept.blocks < 20
