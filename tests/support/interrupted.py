"""An interrupted output of this version, kept so that later ones can prove that they continue it.

    python -m tests.support.interrupted

writes tests/fixtures/format-N again, N being the number of the format. That is right as long as no
release has written the format; from then on a change that makes this necessary has another number.

It is an output of twelve images in three shards, each a group of its own, with two profiles: the
first group is complete, of the second one chunk is staged, of the third none.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.executors.plain import score_with
from tests.support.images import write_folder
from tests.support.nets import color_net
from tests.support.outputs import owned
from vggbatch.cluster.placement import place_here
from vggbatch.config import JobConfig, load_config
from vggbatch.executors.base import Work
from vggbatch.job.job import prepare_job
from vggbatch.output.documents.metadata import FORMAT
from vggbatch.output.layout import Output
from vggbatch.output.names import PLAN
from vggbatch.output.progress import Progress
from vggbatch.output.writer import compact
from vggbatch.runs.resume import open_output
from vggbatch.storage.filesystem import Folder

FIXTURES = Path(__file__).parents[1] / "fixtures"
FIXTURE = FIXTURES / f"format-{FORMAT}"
IMAGES, SHARDS, CHUNK = 12, 3, 2
STAGED = 6
"""Images that need not be scored again."""
_ZOO = {"resize": 36, "crop": 32}
_SQUASH = {"resize": 40, "crop": 32, "resize_mode": "squash"}


def config(folder: Path, net: Path) -> JobConfig:
    """The job whose output it is, where a copy of the fixture is in a folder."""
    options = {"input": (str(folder / "tars"),), "model": str(net), "output": str(folder / "out")}
    options |= {"profiles": {"zoo": _ZOO, "squash": _SQUASH}}
    settings = [f"chunk_size={CHUNK}", "rows_per_file=1"]
    return load_config(options=options, settings=settings, environ={})


def copy(folder: Path, net: Path, version: int = FORMAT) -> JobConfig:
    """Put a copy of the fixture of a format into a folder; its plan says that it always was there.

    A plan has paths, times of files and the digest of the network, which depend on the machine.
    """
    shutil.copytree(FIXTURES / f"format-{version}", folder, dirs_exist_ok=True)
    asked = config(folder, net)
    job = prepare_job(asked)
    output = Output(Folder(asked.output))
    plan, wanted = json.loads((folder / "out" / PLAN).read_text()), job.plan()
    plan |= {name: wanted[name] for name in ("input", "input_digest", "model")}
    (folder / "out" / PLAN).write_text(json.dumps(plan))
    shards = folder / "out/_vggbatch" / output.plan_id / "shards.parquet"
    table = pq.read_table(shards)
    for name in ("uri", "version"):
        column = pa.array([getattr(shard, name) for shard in job.shards])
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, shards)
    return asked


def make(folder: Path, net: Path) -> None:
    """Write the images and the interrupted output of them into an empty folder."""
    names = write_folder(folder / "images", IMAGES)
    (folder / "tars").mkdir()
    for number in range(SHARDS):
        with tarfile.open(folder / f"tars/{number}.tar", "w") as tar:
            for name in names[number::SHARDS]:
                tar.add(folder / "images" / name, name)
    shutil.rmtree(folder / "images")
    job = prepare_job(config(folder, net))
    output = owned(folder / "out")
    numbered, planned = open_output(output, job)
    placement = place_here(job.config.compute)
    work = Work(job, "fixture", output, planned.chunk_size, numbered, Progress())
    assert all(result.stats for result in score_with(work.context(placement), work.rows(numbered)))
    compact(output, 0, [0], planned.rows_per_file)
    later = [name for group in (1, 2) for _, _, name in output.parts(group)]
    for name in later[1:]:
        output.fence.delete(name)
    for name in ("indexes", "staging/000002"):
        output.fence.delete_tree(f"_vggbatch/{output.plan_id}/{name}")
    shutil.rmtree(folder / "out" / output.fence.claim)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "made"
        made.mkdir()
        make(made, color_net(Path(place) / "net.onnx"))
        shutil.rmtree(FIXTURE, ignore_errors=True)
        shutil.copytree(made, FIXTURE)
    print(f"written: {FIXTURE}")
