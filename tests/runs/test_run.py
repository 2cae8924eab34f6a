"""The run from its opening to _SUCCESS."""

import json
import shutil

import pytest

from tests.executors import plain
from tests.support.images import write_folder
from tests.support.runs import complete, job, score, scored
from vggbatch import api
from vggbatch.config import ComputeOptions
from vggbatch.errors import JobFailed, UsageError
from vggbatch.executors.choose import executor_for
from vggbatch.output.layout import Output
from vggbatch.output.ownership.fence import LeaseLost
from vggbatch.runs.finish import finish
from vggbatch.storage.filesystem import Folder

COUNT = 26


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_folder(path, COUNT)
    (path / "00003x.jpg").write_bytes(b"no image")
    return path


def workers():
    """Worker processes of this machine."""
    return executor_for(ComputeOptions(executor="local"))


def files(path):
    return {file.name: file.read_bytes() for file in (path / "predictions").iterdir()}


def test_leaves_rows_a_record_and_last_of_all_success(net, folder, tmp_path):
    asked = job(net, folder, tmp_path / "out", "rows_per_file=10")
    seen = []
    with workers() as executor, scored(asked, seen.append, executor) as result:
        assert not (tmp_path / "out/_SUCCESS").exists()
        assert (tmp_path / "out/_vggbatch/lease.json").exists()
        record = finish(asked, result)
        assert (tmp_path / "out/_SUCCESS").exists()
    assert record == json.loads((tmp_path / "out/run.json").read_text())
    assert record["counts"] == {
        "images": COUNT + 1,
        "scored": COUNT,
        "errors": 1,
        "errors_by_kind": {"not_image": 1},
    }
    assert sum(file["rows"] for file in record["files"]) == COUNT + 1
    assert {file["name"].split("/")[1] for file in record["files"]} == set(files(tmp_path / "out"))
    assert len(record["files"]) > 1
    assert all(record["timings"][f"{name}_seconds"] > 0 for name in ("decode", "infer", "write"))
    assert record["rates"]["images_this_run"] == COUNT + 1
    assert not (tmp_path / "out/_vggbatch/lease.json").exists()
    assert [snapshot.rows for snapshot in seen] == sorted(snapshot.rows for snapshot in seen)
    assert seen[-1].rows == seen[-1].total == COUNT + 1


def test_a_complete_output_is_left_alone(net, folder, tmp_path):
    asked = job(net, folder, tmp_path / "out")
    record = complete(asked)
    before = files(tmp_path / "out")
    with scored(asked) as again:
        assert (again.complete_before, again.scored_now, again.rows) == (True, 0, COUNT + 1)
        assert finish(asked, again) == record
    assert files(tmp_path / "out") == before


def test_a_run_that_was_not_finished_is_finished_without_scoring(net, folder, tmp_path):
    asked = job(net, folder, tmp_path / "out")
    score(asked)
    with scored(asked) as again:
        assert (again.complete_before, again.scored_now, again.placement) == (False, 0, None)
        assert finish(asked, again)["counts"]["images"] == COUNT + 1


def test_chunks_that_were_not_put_together_are(net, folder, tmp_path):
    asked = job(net, folder, tmp_path / "out")
    plain.score(plain.work_of(asked))
    with scored(asked) as result:
        assert (result.scored_now, result.rows) == (0, COUNT + 1)
        finish(asked, result)
    complete(job(net, folder, tmp_path / "plain"))
    same = (api.load_predictions(str(tmp_path / name)) for name in ("out", "plain"))
    assert next(same).equals(next(same))


def test_what_is_left_is_scored_and_no_more(net, folder, tmp_path):
    asked = job(net, folder, tmp_path / "out")
    expected = job(net, folder, tmp_path / "expected")
    complete(expected)
    work = plain.work_of(asked)
    plain.score(work)
    parts = [name for _, _, name in work.output.parts(0)]
    for name in parts[1::2]:
        work.output.folder.delete(name)
    with scored(asked) as result:
        assert 0 < result.scored_now < COUNT + 1
        assert result.rows == COUNT + 1
        finish(asked, result)
    same = (api.load_predictions(str(tmp_path / name)) for name in ("out", "expected"))
    assert next(same).equals(next(same))


def test_too_many_errors_fail_the_job_and_keep_the_rows(net, folder, tmp_path):
    strict = job(net, folder, tmp_path / "out", "max_error_rate=0.01")
    with pytest.raises(JobFailed, match=r"1 of 27 images \(3\.70%\).*1 not_image"):
        complete(strict)
    assert not (tmp_path / "out/_SUCCESS").exists()
    lenient = job(net, folder, tmp_path / "out", "max_error_rate=0.5")
    with scored(lenient) as result:
        assert result.scored_now == 0
        finish(lenient, result)


def test_another_configuration_is_refused(net, folder, tmp_path):
    score(job(net, folder, tmp_path / "out"))
    with pytest.raises(UsageError, match=r"decode\.truncated: False -> True"):
        score(job(net, folder, tmp_path / "out", "decode.truncated=true"))


@pytest.mark.parametrize("settings", [(), ("decode.truncated=true",)])
def test_nothing_is_declared_over_another_runs_output(net, folder, tmp_path, settings):
    """The other one may have the same settings: what it writes is not this one's all the same."""
    asked = job(net, folder, tmp_path / "out")
    other = job(net, folder, tmp_path / "out", "overwrite=true", *settings)
    with scored(asked) as result:
        shutil.rmtree(tmp_path / "out/_vggbatch")  # and with it the claim
        record = complete(other)
        with pytest.raises(LeaseLost, match="taken over by another run"):
            finish(asked, result)
    assert json.loads((tmp_path / "out/run.json").read_text()) == record
    assert Output(Folder(str(tmp_path / "out"))).succeeded()


def test_a_model_that_cannot_be_prepared_ends_the_run_at_once(net, folder, tmp_path):
    asked = job(net, folder, tmp_path / "out")
    broken = tmp_path / "net.onnx"
    broken.write_bytes(net.read_bytes())
    broken.with_suffix(".yaml").write_bytes(net.with_suffix(".yaml").read_bytes())
    asked = job(broken, folder, tmp_path / "out", f"cache_dir={tmp_path / 'cache'}")
    broken.write_bytes(net.read_bytes() + b"\0")
    with workers() as executor, pytest.raises(Exception, match="SHA-256"):
        score(asked, executor=executor)


def test_the_users_number_of_classifiers_holds(net, folder, tmp_path):
    sizes = ("compute.num_cpus=8", "compute.actors=2", "compute.threads=3")
    asked = job(net, folder, tmp_path / "out", *sizes)
    with workers() as executor, scored(asked, executor=executor) as result:
        placement = result.placement
    assert (result.executor, placement.actors, placement.threads) == ("local", 2, 3)
