"""What commands print: one JSON document for scripts, nothing when quiet, completions."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.images import write_folder
from vggbatch import cli
from vggbatch.cli import completion, console

pytestmark = pytest.mark.usefixtures("scored_here")


@pytest.fixture(scope="module")
def place(tmp_path_factory, net):
    """images/, labels.csv and net.onnx; out/ and other/ are filled by the tests below."""
    root = tmp_path_factory.mktemp("place")
    names = write_folder(root / "images", 4)
    (root / "images" / "bad.jpg").write_bytes(b"nothing")
    lines = [f"{name},{number}" for number, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["file,class_index", *lines]) + "\n")
    for suffix in (".onnx", ".yaml"):
        (root / f"net{suffix}").write_bytes(net.with_suffix(suffix).read_bytes())
    return root


@pytest.fixture
def run(place, monkeypatch, capfd):
    """Run a command line: exit status, standard output, standard error."""

    def command(line):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["vggbatch", *line.split()])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        console.configure()
        out, err = capfd.readouterr()
        return stopped.value.code or 0, out, err

    return command


@pytest.fixture(scope="module")
def outputs(place):
    """Two evaluated runs."""
    from vggbatch import evaluate

    for name in ("out", "other"):
        evaluate(
            place / "images",
            model=place / "net.onnx",
            labels=place / "labels.csv",
            output=place / name,
        )


KEYS = {
    "score images -m net.onnx -o scored --json": [
        "output",
        "model",
        "preprocess",
        "counts",
        "images_this_run",
        "images_per_second",
        "seconds",
    ],
    "evaluate images -m net.onnx -o evaluated -l labels.csv --json -q": [
        "output",
        "model",
        "preprocess",
        "counts",
        "images_this_run",
        "images_per_second",
        "seconds",
        "metrics",
        "notes",
    ],
    "plan images -m net.onnx -o new --json": [
        "input",
        "model",
        "ensemble",
        "preprocess",
        "labels",
        "placement",
        "chunk_size",
        "output",
    ],
    "predict images/00001.jpg -m net.onnx --json": ["model", "images"],
    "status out --json": [
        "state",
        "rows",
        "total",
        "errors",
        "images_per_second",
        "seconds_left",
        "holder",
        "silence",
    ],
    "rescore out -l labels.csv --json": ["metrics", "notes"],
    "compare out other --json": [
        "images",
        "paired_by_file_name",
        "only_in_a",
        "only_in_b",
        "failed_a",
        "failed_b",
        "failed_both",
        "agreement",
        "agreement_ci",
        "both_wrong",
        "both_wrong_differently",
        "largest_difference",
        "mean_largest_difference",
        "label_conflicts",
        "accuracies",
        "movers",
        "differing_images",
    ],
    "models list --json": ["models"],
    "models info vgg16-12 --json": [
        "name",
        "title",
        "exporter",
        "opset",
        "quantized",
        "file",
        "bytes",
        "sha256",
        "output",
        "preprocess",
        "published",
        "path",
    ],
}


@pytest.mark.usefixtures("outputs")
@pytest.mark.parametrize("line", KEYS)
def test_json_is_one_document_with_the_documented_keys(line, run):
    status, out, err = run(line)
    assert status == 0, err
    assert set(KEYS[line]) <= set(json.loads(out))
    assert "-q" not in line.split() or err == ""


def test_json_says_what_the_columns_say(run):
    _, out, _ = run("predict images/00001.jpg images/bad.jpg -m net.onnx --json")
    first, second = json.loads(out)["images"]
    assert len(first["top5_index"]) == len(first["top5_synset"]) == 5
    assert second["error"].startswith("not_image")
    assert second["top5_index"] is None


def test_quiet_prints_nothing_but_what_went_wrong(run):
    assert run("score images -m net.onnx -o quiet -q") == (0, "", "")
    status, out, err = run("score images -m net.onnx -o limited -q --max-error-rate 0")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("error: 1 of 5 images")


def test_a_run_says_little_and_all_of_it_its_own(run):
    status, out, err = run("score images -m net.onnx -o told")
    assert status == 0
    facts = ["images", "errors", "rate", "executor", "output"]
    assert [line.split()[0] for line in out.splitlines()] == facts
    told = {line.split(",")[0] for line in err.splitlines()}
    assert "5 images" in told
    assert told <= {"5 images", *(f"{done} of 5 images" for done in range(6))}


def test_model_names_complete():
    assert completion.model_names("vgg16-12") == ["vgg16-12", "vgg16-12-int8", "vgg16-12-qdq"]
    assert completion.model_names("vgg16-12-int8@") == ["vgg16-12-int8@synthetic"]
    assert completion.model_names("net") == []


def test_shells_complete_commands_and_models():
    def completions(words, number):
        environ = {
            **os.environ,
            "_VGGBATCH_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(number),
        }
        code = "import sys; sys.argv = ['vggbatch']; import vggbatch.cli; vggbatch.cli.main()"
        call = [sys.executable, "-c", code]
        done = subprocess.run(call, env=environ, capture_output=True, text=True, check=False)
        return done.stdout.split()

    assert sorted(completions("vggbatch re", 1)) == ["report", "rescore"]
    assert "vgg16-12-int8" in completions("vggbatch score -m vgg16-12", 3)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("color", [{"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}])
def test_help_fits_the_terminal_and_keeps_to_no_color(width, color):
    environ = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "vggbatch", "score", "--help"],
        env={**environ, **color, "COLUMNS": str(width), "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("\x1b[" in done.stdout) == ("FORCE_COLOR" in color)
    if "NO_COLOR" in color:
        assert max(map(len, done.stdout.splitlines())) <= width
