import tarfile

import pytest

from tests.images import write_folder
from vggbatch.config import load_config
from vggbatch.errors import UsageError
from vggbatch.pipeline.job import prepare_job
from vggbatch.pipeline.preview import preview


def job(net, output, *inputs, **options):
    values = {"input": tuple(map(str, inputs)), "model": str(net), "output": str(output)}
    return prepare_job(load_config(options={**values, **options}, environ={}))


def test_says_what_is_there_and_touches_nothing(net, tmp_path):
    names = write_folder(tmp_path / "images", 3)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "images" / names[0], names[0])
    (tmp_path / "labels.csv").write_text(f"file,class_index\n{names[0]},1\n{names[2]},2\n")
    found = preview(
        job(
            net,
            tmp_path / "out",
            tmp_path / "images",
            tmp_path / "a.tar",
            labels=str(tmp_path / "labels.csv"),
        )
    )
    counts = {count.format: count for count in found.formats}
    assert sorted((c.shards, c.exact) for c in counts.values()) == [(0, True), (1, False)]
    assert counts["tar"].bytes == (tmp_path / "a.tar").stat().st_size
    assert (found.labels.matched, found.labels.unmatched) == (2, 1)
    assert found.labels.examples == [names[1]]
    assert found.output == "new"
    assert found.placement.actors * found.placement.threads <= found.placement.cpus
    assert not (tmp_path / "out").exists()


def test_somebody_elses_files_are_refused(net, tmp_path):
    write_folder(tmp_path / "images", 1)
    (tmp_path / "out/predictions").mkdir(parents=True)
    (tmp_path / "out/predictions/x.parquet").write_bytes(b"precious")
    with pytest.raises(UsageError, match="not this job's"):
        preview(job(net, tmp_path / "out", tmp_path / "images"))
    again = job(net, tmp_path / "out", tmp_path / "images", overwrite=True)
    assert preview(again).output == "what is there is deleted first"
    assert (tmp_path / "out/predictions/x.parquet").read_bytes() == b"precious"


def test_a_cluster_decides_the_placement_itself(net, tmp_path):
    write_folder(tmp_path / "images", 1)
    options = {"compute.address": "ray://far:10001"}
    assert preview(job(net, tmp_path / "out", tmp_path / "images", **options)).placement is None
