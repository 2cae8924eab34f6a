"""Which runs on a cluster begin with chunks that the driver has cut."""

import tarfile
from dataclasses import replace

from tests.support.images import write_folder
from vggbatch.cluster.placement import place
from vggbatch.config import ComputeOptions
from vggbatch.executors.ray_data.fused import few_listed
from vggbatch.sources import discover


def numbered(path):
    return [(number, 0, shard) for number, shard in enumerate(discover([str(path)]))]


def test_listed_files_are_few_up_to_256_chunks(tmp_path):
    write_folder(tmp_path, 257)
    (one,) = numbered(tmp_path)
    assert few_listed([one], 2)
    assert not few_listed([one], 1)
    half = replace(one[2], members=one[2].members.slice(0, 128))
    assert few_listed([(0, 0, half), (1, 0, half)], 1)
    assert not few_listed([(0, 0, half), (1, 0, half), (2, 0, half)], 1)


def test_the_members_of_a_tar_are_not_known(tmp_path):
    write_folder(tmp_path / "images", 2)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "images", "images")
    assert not few_listed(numbered(tmp_path / "a.tar"), 32)
    assert few_listed([], 32)


def test_gpus_do_not_wait_and_counted_tasks_are_started():
    assert place([4.0], ComputeOptions(threads=4)).fused
    assert not place([4.0], ComputeOptions(provider="cuda")).fused
    assert not place([4.0], ComputeOptions(decode_tasks=3)).fused
