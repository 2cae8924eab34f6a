from dataclasses import replace

import pytest

from tests.support.images import write_folder
from vggbatch.config import load_config
from vggbatch.errors import UsageError
from vggbatch.job.job import prepare_job
from vggbatch.job.networks import network_opener


def job(net, folder, *settings, **options):
    values = {"input": (str(folder),), "model": str(net), "output": "o", **options}
    return prepare_job(load_config(options=values, settings=settings, environ={}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_folder(path, 3)
    return path


def test_a_plan_changes_with_what_decides_the_content(net, folder):
    plan = job(net, folder).plan()
    assert plan == job(net, folder, "compute.actors=1", "overwrite=true").plan()
    assert plan != job(net, folder, "decode.truncated=true").plan()
    assert plan != job(net, folder, "model.preprocess={resize: 40, crop: 32}").plan()


def test_a_plan_changes_with_the_input(net, tmp_path):
    write_folder(tmp_path / "i", 2)
    before = job(net, tmp_path / "i").plan()
    write_folder(tmp_path / "i", 1, start=2)
    assert job(net, tmp_path / "i").plan() != before


def test_chunks_grow_with_the_input(net, folder):
    small = job(net, folder)
    (shard,) = small.shards

    def chunk_size(images):
        unopened = replace(shard, members=None, images=images)
        return replace(small, shards=(unopened,)).chunk_size

    inputs = (3, 499, 500, 2_000, 100_000, 10_000_000)
    assert [chunk_size(images) for images in inputs] == [8, 8, 16, 32, 128, 256]
    assert small.chunk_size == 8
    assert job(net, folder, "chunk_size=5").chunk_size == 5


def test_a_crop_that_does_not_fit_the_network_is_refused(net, folder):
    with pytest.raises(UsageError, match=r"set model\.preprocess\.crop=32"):
        job(net, folder, "model.preprocess=zoo")


def test_no_input_is_refused(net):
    with pytest.raises(UsageError, match="no input"):
        prepare_job(load_config(options={"model": str(net)}, environ={}))


def test_secrets_do_not_reach_the_record(net, folder):
    mirrors = ("https://user:secret@host/path?token=secret",)
    config = job(net, folder, mirrors=mirrors)
    assert "secret" not in str(config.public_config())
    assert "secret" not in str(config.plan())


def test_features_have_any_width(net, folder):
    [network] = network_opener(job(net, folder, "features=float32"))()
    assert network.crops.outputs == ("scores", "flat")
