"""The functions of the package: the examples of their docstrings, and how a job may be named."""

import doctest
import subprocess
import sys

import pytest

import vggbatch
from tests.support.images import write_folder
from tests.support.nets import color_net
from vggbatch import api
from vggbatch.config import JobConfig, JobOptions, job_config, load_config


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """images/, labels.csv and net.onnx in the current folder, as the examples have it."""
    names = write_folder(tmp_path / "images", 3)
    lines = [f"{name},{number}" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    color_net(tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_docstrings_run_in_their_order(workplace):
    order = ["score", "evaluate", "plan", "predict", "status", "rescore", "compare"]
    order += ["leaderboard", "write_report", "merge", "forget"]
    runner = doctest.DocTestRunner(verbose=False)
    finder = doctest.DocTestFinder(recurse=False)
    tests = [test for name in order for test in finder.find(getattr(api, name), name, globs={})]
    for test in tests:
        test.globs = {name: getattr(api, name) for name in api.__all__}
        runner.run(test)
    assert (runner.failures, runner.tries > len(order)) == (0, True)


def test_the_package_has_the_functions_and_loads_them_when_used():
    code = (
        "import sys, vggbatch\n"
        "heavy = {'ray', 'onnxruntime', 'pyarrow', 'numpy', 'pydantic', 'rich'}\n"
        "assert not heavy & set(sys.modules)\n"
        "assert callable(vggbatch.write_report) and 'pyarrow' in sys.modules\n"
        "assert not {'onnxruntime', 'onnx'} & set(sys.modules), 'what only scoring needs'\n"
        "assert callable(vggbatch.score) and 'onnxruntime' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in vggbatch.__all__:
        assert name in dir(vggbatch)
        assert getattr(vggbatch, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'scroe'"):
        vggbatch.scroe  # noqa: B018


def test_a_function_loads_what_it_needs_and_not_what_others_do():
    for name in api.__all__:
        assert getattr(api, name).__module__.startswith("vggbatch.")
    with pytest.raises(AttributeError, match="no attribute 'scroe'"):
        api.scroe  # noqa: B018
    code = (
        "import sys, vggbatch\n"
        "others = {'metrics', 'quantization', 'report', 'runs'}\n"
        "assert callable(vggbatch.predict)\n"
        "assert not others & {name.split('.')[1] for name in sys.modules if 'vggbatch.' in name}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_setting_can_be_an_option():
    assert set(JobOptions.__annotations__) == set(JobConfig.model_fields) - {"input"}


def test_a_job_is_an_input_with_options_or_a_configuration(tmp_path):
    first = job_config(tmp_path / "a", {"output": tmp_path / "out", "model": "net.onnx"})
    assert first.input == (str(tmp_path / "a"),)
    assert (first.output, first.model.name) == (str(tmp_path / "out"), "net.onnx")
    assert job_config(["a", tmp_path], {}).input == ("a", str(tmp_path))
    second = job_config(first, {"chunk_size": 7, "compute": {"threads": 1}})
    assert (second.chunk_size, second.compute.threads) == (7, 1)
    assert second.model_copy(update={"chunk_size": None}).input == first.input
    assert job_config(first, {}) == first


def test_options_replace_the_environment(monkeypatch):
    monkeypatch.setenv("VGGBATCH_CHUNK_SIZE", "5")
    assert job_config("a", {}).chunk_size == 5
    assert job_config("a", {"chunk_size": 7}).chunk_size == 7
    assert job_config(load_config(environ={}), {}).chunk_size is None


def test_mistakes_name_what_is_meant():
    with pytest.raises(vggbatch.UsageError, match=r"'outptu', did you mean 'output'\?"):
        vggbatch.plan("a", outptu="b")
    with pytest.raises(vggbatch.UsageError, match="chunk_size"):
        vggbatch.score(JobConfig(input=("a",)), chunk_size=0)


def test_a_listener_hears_of_the_run(workplace):
    heard, announced = [], []
    vggbatch.score(
        "images",
        output="out",
        model=workplace / "net.onnx",
        on_progress=heard.append,
        announce=announced.append,
    )
    assert (heard[-1].rows, heard[-1].total) == (3, 3)
    assert announced[0].estimated_images == 3


def test_columns_that_predictions_lack_are_refused(workplace):
    vggbatch.score("images", output="out", model="net.onnx")
    two = vggbatch.load_predictions("out", columns=["label", "image_id"])
    assert two.column_names == ["label", "image_id"]
    for name, near in [("image", "'image_id'"), ("top5", "'top5_index'"), ("features", "error")]:
        with pytest.raises(vggbatch.UsageError, match=f"no column '{name}'.*{near}"):
            vggbatch.load_predictions("out", columns=["label", name])


def test_paths_name_outputs_as_they_name_inputs(workplace):
    one, other = workplace / "one", workplace / "other"
    labels = workplace / "labels.csv"
    for output in (one, other):
        vggbatch.evaluate(
            workplace / "images", output=output, model=workplace / "net.onnx", labels=labels
        )
    assert len(vggbatch.load_predictions(one)) == vggbatch.status(one).rows == 3
    assert vggbatch.load_run(one)["counts"]["images"] == 3
    assert vggbatch.rescore([one], labels, workplace / "again").metrics[0].n == 3
    assert vggbatch.write_report(one).endswith("one/report.html")
    assert vggbatch.compare(one, other, labels=labels).agreement == 100
    vggbatch.leaderboard([one, other], page=workplace / "runs.html")
    assert (workplace / "runs.html").exists()
    assert vggbatch.forget(other, ["00001.jpg"]) == 1
