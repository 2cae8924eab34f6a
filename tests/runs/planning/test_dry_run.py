import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import vggbatch
from tests.support.images import write_folder
from tests.support.planned import job
from vggbatch.errors import UsageError
from vggbatch.job.label_check import UNLABELED, UNUSED
from vggbatch.runs.planning.dry_run import preview
from vggbatch.runs.planning.first_look import UNUSABLE
from vggbatch.sources.input_warnings import LEFT_OUT


def test_says_what_is_there_and_touches_nothing(net, tmp_path):
    names = write_folder(tmp_path / "images", 3)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "images" / names[0], "packed.jpg")
    (tmp_path / "labels.csv").write_text(f"file,class_index\n{names[0]},1\n{names[2]},2\n")
    found = vggbatch.plan(
        [tmp_path / "images", tmp_path / "a.tar"],
        output=tmp_path / "out",
        model=net,
        labels=tmp_path / "labels.csv",
    )
    counts = {count.format: count for count in found.formats}
    assert sorted((c.shards, c.exact) for c in counts.values()) == [(0, True), (1, False)]
    assert counts["tar"].bytes == (tmp_path / "a.tar").stat().st_size
    assert (found.labels.matched, found.labels.unmatched) == (2, 1)
    (odd,) = found.input_warnings
    assert (odd.what, odd.count, odd.examples) == (UNLABELED, 2, (names[1], "a.tar/packed.jpg"))
    assert found.output == "new"
    assert found.placement.actors * found.placement.threads <= found.placement.cpus
    assert not (tmp_path / "out").exists()


def test_labels_and_images_without_each_other(net, tmp_path):
    names = write_folder(tmp_path / "images", 4)
    (tmp_path / "images/notes.txt").write_text("no image")
    rows = "".join(f"{name},1\n" for name in [names[0], "x/gone.jpg", "away.jpg"])
    (tmp_path / "labels.csv").write_text(f"file,class_index\n{rows}")
    labels = str(tmp_path / "labels.csv")
    found = vggbatch.plan(tmp_path / "images", output=tmp_path / "out", model=net, labels=labels)
    assert [(odd.what, odd.count, odd.examples) for odd in found.input_warnings] == [
        (LEFT_OUT, 1, ("notes.txt",)),
        (UNLABELED, 3, tuple(names[1:])),
        (UNUSED, 2, ("away.jpg", "x/gone.jpg")),
    ]
    assert found.to_json()["input_warnings"][2]["count"] == 2


def test_somebody_elses_files_are_refused(net, tmp_path):
    write_folder(tmp_path / "images", 1)
    (tmp_path / "out/predictions").mkdir(parents=True)
    (tmp_path / "out/predictions/x.parquet").write_bytes(b"precious")
    with pytest.raises(UsageError, match="not this job's"):
        preview(job(net, tmp_path / "out", tmp_path / "images"))
    again = job(net, tmp_path / "out", tmp_path / "images", overwrite=True)
    assert preview(again).output == "what is there is deleted first"
    assert (tmp_path / "out/predictions/x.parquet").read_bytes() == b"precious"


def test_a_machine_without_room_is_refused(net, tmp_path):
    write_folder(tmp_path / "images", 1)
    many = {"compute.num_cpus": 4096, "compute.threads": 1}
    with pytest.raises(UsageError) as refused:
        preview(job(net, tmp_path / "out", tmp_path / "images", **many))
    first, line = str(refused.value).splitlines()
    assert first == "the run cannot start:"
    assert line.startswith("  this machine has ")
    assert "4096 classifiers of net take" in line
    assert "fewer classifiers (compute.actors)" in line


AS_SOMEBODY = """
import os, sys
from vggbatch.config import load_config
from vggbatch.job.job import prepare_job
from vggbatch.runs.planning.dry_run import preview

def plan(output):
    values = {"input": (sys.argv[1],), "model": sys.argv[2], "output": output}
    preview(prepare_job(load_config(options=values, environ={})))

plan(sys.argv[1] + "/out")
if os.getuid() == 0:  # who may write everywhere
    os.setuid(65534)
plan("/vggbatch-not-for-you/out")
"""


def _open_to_all(folder):
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


@pytest.mark.skipif(not _open_to_all(Path.cwd()), reason="others may not enter this folder")
def test_an_output_that_may_not_be_written_is_refused(net):
    images = Path(vggbatch.__file__).with_name("demo")
    kept = {"VGGBATCH_CACHE_DIR": "/vggbatch-not-for-you/cache"}
    # somebody else may not write what coverage measures either
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY, images, "vgg16-12-int8@synthetic"],
        env={**environ, **kept, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-3:]
    assert "the run cannot start:" in last[0]
    assert "this machine cannot write to the model cache" in last[1]
    assert "this machine cannot write to /: name another output" in last[2]


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"\x08\x08net", "net.onnx", "not_image"),
        (b"file,class_index\n00000.jpg,3\n", "labels.csv", "missing"),
        (b"images/00000.jpg\n", "list.txt", "missing"),
        (b"no tar at all" * 100, "images.tar", "bad_shard"),
    ],
)
def test_what_is_no_input_is_refused_as_score_ends(net, tmp_path, content, name, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"can be scored; .*{reason}.*{name} was taken for"):
        preview(job(net, tmp_path / "out", tmp_path / name))
    (found,) = preview(job(net, tmp_path / "out", tmp_path / name, max_error_rate=1)).input_warnings
    assert (found.what, found.count) == (UNUSABLE, 1)


def test_a_few_of_many_images_are_looked_at(net, tmp_path):
    names = write_folder(tmp_path / "images", 40)
    (tmp_path / "images" / names[4]).write_text("no image")
    found = preview(job(net, tmp_path / "out", tmp_path / "images")).input_warnings
    assert [(odd.count, odd.examples[0][:21]) for odd in found] == [(1, "00004.jpg (not_image:")]
    for name in names:
        (tmp_path / "images" / name).write_bytes(b"")
    with pytest.raises(UsageError, match="none of the 20 images that were looked at"):
        preview(job(net, tmp_path / "out", tmp_path / "images"))


def test_a_shard_without_images_is_refused_too(net, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(__file__, "notes.txt")
    with pytest.raises(UsageError, match=r"no image was found: .*a\.tar was taken for tar shards"):
        preview(job(net, tmp_path / "out", tmp_path / "a.tar"))
    preview(job(net, tmp_path / "out", tmp_path / "a.tar", max_error_rate=0.5))
