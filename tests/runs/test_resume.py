import os
import re

import pytest

import vggbatch
from tests.support.images import cut, jpeg, write_folder
from tests.support.outputs import owned
from vggbatch.config import load_config
from vggbatch.errors import UsageError
from vggbatch.job.job import Job, prepare_job
from vggbatch.runs.resume import Planned, differences, open_output


@pytest.fixture
def images(tmp_path):
    write_folder(tmp_path / "images", 4)
    return tmp_path / "images"


def opened(net, images, *settings, **options):
    values = {"input": (str(images),), "model": str(net), "output": str(images.parent / "out")}
    job = prepare_job(load_config(options={**values, **options}, settings=settings, environ={}))
    return open_output(owned(job.config.output), job)


def test_the_same_job_finds_itself(net, images):
    first = opened(net, images, "chunk_size=2")
    assert first[1] == Planned(chunk_size=2, rows_per_file=1_000_000)
    assert opened(net, images, "chunk_size=2", "compute.actors=1") == first


def test_groups_and_sizes_are_those_that_were_recorded(net, images, monkeypatch):
    """Another version may put shards into other groups, and choose other sizes."""
    labels = {"labels": "embedded"}
    first = opened(net, images, "rows_per_file=2", **labels)
    monkeypatch.setattr(Job, "groups", lambda job: [(n, 7, s) for n, s in enumerate(job.shards)])
    monkeypatch.setattr(Job, "chunk_size", 99)
    monkeypatch.setattr(Job, "rows_per_file", 99)
    again = opened(net, images, "rows_per_file=2", **labels)
    assert [(n, g) for n, g, _ in again[0]] == [(n, g) for n, g, _ in first[0]]
    assert again[1] == first[1]


def test_other_settings_are_refused_with_the_difference(net, images):
    opened(net, images)
    with pytest.raises(UsageError, match=r"decode\.truncated: False -> True"):
        opened(net, images, "decode.truncated=true")


def test_labels_that_changed_are_named_and_not_their_digests(net, images):
    labels = images.parent / "labels.csv"
    labels.write_text("file,class_index\n00000.jpg,1\n")
    opened(net, images, labels=str(labels))
    with pytest.raises(UsageError, match=r"settings: labels: \['.*'\] -> \['embedded'\]\. Repeat"):
        opened(net, images, labels="embedded")
    labels.write_text("file,class_index\n00000.jpg,2\n")
    with pytest.raises(UsageError, match=r"the content of .*labels\.csv changed\. Repeat"):
        opened(net, images, labels=str(labels))


def test_labels_for_what_is_scored_lead_to_rescore(net, images):
    labels = images.parent / "with space.csv"
    labels.write_text("file,class_index\n00000.jpg,1\n")
    output = str(images.parent / "out")
    vggbatch.score(images, model=net, output=output)
    command = f"`vggbatch rescore {output} -l '{labels}' -o METRICS`"
    with pytest.raises(UsageError, match=re.escape(command)):
        opened(net, images, labels=str(labels))
    for settings, given in (
        (["decode.truncated=true"], str(labels)),  # other rows
        ([], "embedded"),  # which the rows do not have
    ):
        with pytest.raises(UsageError) as refused:
            opened(net, images, *settings, labels=given)
        assert "rescore" not in str(refused.value)
    (images.parent / "out/_SUCCESS").unlink()  # not finished
    with pytest.raises(UsageError) as refused:
        opened(net, images, labels=str(labels))
    assert "rescore" not in str(refused.value)


def test_an_added_image_is_noticed(net, images):
    opened(net, images)
    write_folder(images, 1, start=9)
    with pytest.raises(UsageError, match=r"1 added \(00009\.jpg\)"):
        opened(net, images)


def test_a_removed_and_a_changed_image_are_noticed(net, images):
    opened(net, images)
    (images / "00000.jpg").unlink()
    (images / "00001.jpg").write_bytes(jpeg(cut(77)))
    with pytest.raises(UsageError, match=r"1 removed \(00000\.jpg\), 1 changed \(00001\.jpg\)"):
        opened(net, images)


def test_a_file_of_the_same_size_and_another_time_is_recorded_where_it_was_not_scored(net, images):
    before = opened(net, images)
    os.utime(images / "00002.jpg", ns=(1, 1))
    after = opened(net, images)
    versions = [[shard.version for _, _, shard in numbered] for numbered, _ in (before, after)]
    assert versions[0] != versions[1]
    assert opened(net, images)[1].touched is False


def test_overwrite_starts_again(net, images):
    opened(net, images)
    opened(net, images, "decode.truncated=true", overwrite=True)
    with pytest.raises(UsageError, match=r"decode\.truncated"):
        opened(net, images)


def test_somebody_elses_files_are_not_touched(net, images):
    (images.parent / "out/predictions").mkdir(parents=True)
    (images.parent / "out/predictions/a.parquet").write_bytes(b"mine")
    with pytest.raises(UsageError, match="not this job's"):
        opened(net, images)


def test_differences_name_the_place():
    old, new = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}
    assert differences(old, new) == ["a.c: 2 -> 4", "d: 3 -> None", "e: None -> 5"]
