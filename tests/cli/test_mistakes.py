"""Every command with a mistake in each argument: one clear line, exit status 2."""

import re
import sys

import pytest
import yaml

from tests.support.images import write_folder
from vggbatch import cli
from vggbatch.cli import console


@pytest.fixture(scope="module")
def place(tmp_path_factory, net):
    """What the command lines below refer to."""
    root = tmp_path_factory.mktemp("place")
    write_folder(root / "images", 2)
    (root / "empty").mkdir()
    for suffix in (".onnx", ".yaml"):
        (root / f"net{suffix}").write_bytes(net.with_suffix(suffix).read_bytes())
    (root / "text.onnx").write_text("no network")
    (root / "broken.yaml").write_text("input: [")
    (root / "list.yaml").write_text("- input")
    (root / "unknown.yaml").write_text(yaml.safe_dump({"outptu": "x"}))
    (root / "labels.csv").write_text("file,class_index\n00000.jpg,notanumber\n")
    (root / "past.csv").write_text("file,class_index\n00000.jpg,3\n")
    (root / "names.txt").write_text("tench\ngoldfish\ngreat white shark\n")
    (root / "out").mkdir()
    return root


RUN = "-m net.onnx -o new"

MISTAKES = [
    ("scoer images", "score"),
    ("--versoin", "--version"),
    # score, evaluate, plan: the input
    (f"score {RUN}", "no input"),
    (f"score nowhere {RUN}", "nowhere"),
    (f"score '' {RUN}", "empty text"),
    (f"score images '' {RUN}", "empty text"),
    (f"score empty {RUN}", "empty"),
    (f"score 'images/*.png' {RUN}", "png"),
    (f"score nosuch://bucket/x {RUN}", "nosuch"),
    (f"evaluate nowhere {RUN} -l embedded", "nowhere"),
    (f"plan nowhere {RUN}", "nowhere"),
    # the output
    ("score images -m net.onnx", "-o OUTPUT"),
    ("evaluate images -m net.onnx -l embedded", "-o OUTPUT"),
    ("plan images -m net.onnx", "-o OUTPUT"),
    ("score images -m net.onnx -o", "-o"),
    ("score images -m net.onnx -o nosuch://bucket/x", "nosuch"),
    # the model
    ("score images -o new -m vgg61-12", "vgg16-12"),
    ("score images -o new -m vgg61-12@synthetic", "vgg16-12"),
    ("score images -o new -m none.onnx", "none.onnx"),
    ("score images -o new -m text.onnx", "text.onnx"),
    ("score images -o new -m vgg16-12 --set mirrors=[] --set cache_dir=empty", "vgg16-12"),
    ("predict images/00000.jpg -m none.onnx", "none.onnx"),
    # labels and how they count
    (f"evaluate images {RUN}", "--labels"),
    (f"evaluate images {RUN} -l none.csv", "none.csv"),
    (f"evaluate images {RUN} -l labels.csv", "notanumber"),
    (
        f"evaluate images {RUN} -l past.csv --set indices.names=names.txt",
        "3 is past the last of the 3",
    ),
    (f"evaluate images {RUN} -l embedded@nosuch", "nosuch"),
    (f"evaluate images {RUN} -l embedded", "no image has a label in embedded"),
    (f"plan images {RUN} -l embedded", "00000.jpg"),
    (f"evaluate images {RUN} --protocol densee", "'--protocol': 'densee'"),
    (f"evaluate images {RUN} -l embedded --errors maybe", "left_out"),
    # settings
    (f"score images {RUN} -c none.yaml", "none.yaml"),
    (f"score images {RUN} -c broken.yaml", "broken.yaml"),
    (f"score images {RUN} -c list.yaml", "list.yaml"),
    (f"score images {RUN} -c unknown.yaml", "'output'"),
    (f"score images {RUN} --set chunk_size", "key=value"),
    (f"score images {RUN} --set chunk_sice=1", "'chunk_size'"),
    (f"score images {RUN} --set chunk_size=0", "chunk_size"),
    (f"score images {RUN} --set chunk_size=many", "many"),
    (f"score images {RUN} --set model.preprocess=zoom", "zoo"),
    (f"score images {RUN} --set model.preprocess.crop=300", "300"),
    (f"score images {RUN} --set features=float64", "float64"),
    (f"score images {RUN} --actors two", "--actors"),
    (f"score images {RUN} --actors 0", "actors"),
    (f"score images {RUN} --threads -1", "threads"),
    (f"score images {RUN} --max-cpus none", "--max-cpus"),
    (f"score images {RUN} --max-error-rate 2", "max_error_rate"),
    (f"score images {RUN} --modle net.onnx", "--model"),
    (f"plan images {RUN} --actors 1000", "1000"),
    # predict
    ("predict", "no input"),
    ("predict nowhere.jpg -m net.onnx", "nowhere.jpg"),
    ("predict images/00000.jpg -m net.onnx --json=yes", "--json"),
    # status, rescore, compare, report
    ("status", "OUTPUT"),
    ("status nowhere", "nowhere"),
    ("status out", "out"),
    ("rescore", "OUTPUT"),
    ("rescore out", "--labels"),
    ("rescore out -l embedded", "out"),
    ("rescore out -l embedded --classes none.txt", "none.txt"),
    ("rescore out -l embedded --errors maybe", "left_out"),
    ("compare out", "two outputs or more"),
    ("compare out out", "out"),
    ("compare out out --limit few", "--limit"),
    ("report", "OUTPUT"),
    ("report nowhere", "nowhere"),
    ("report out", "out"),
    ("report out --against nowhere", "out"),
    ("report out --gallery 1", "--gallery"),
    # pack
    ("pack", "INPUT"),
    ("pack '' -o shards", "empty text"),
    ("pack images -o ''", "empty text"),
    ("rescore out -l labels.csv -o ''", "empty text"),
    ("status ''", "empty text"),
    ("report out --classes names.txt", "--against"),
    ("report out --images nowhere", "nowhere"),
    ("pack images", "--output"),
    ("pack nowhere -o shards", "nowhere"),
    ("pack images -o shards --format zip", "parquet"),
    ("pack images -o text.onnx/shards", "cannot write to"),
    ("pack images -o shards --shard-mb 0", "--shard-mb"),
    # models
    ("models lits", "list"),
    ("models info", "MODEL"),
    ("models info vgg61-12", "vgg16-12"),
    ("models pull vgg61-12", "vgg16-12"),
    ("models verify none.onnx", "none.onnx"),
    ("models verify net.onnx", "--vectors"),
    ("models synthesize vgg61-12 -o x.onnx", "vgg16-12"),
    ("models synthesize vgg16-12", "--output"),
    ("models synthesize vgg16-12 -o x.onnx --shrink 0", "--shrink"),
    ("models prepare none.onnx", "none.onnx"),
    ("models quantize net.onnx images -o x.txt", ".onnx"),
    ("models quantize net.onnx images -o text.onnx/x.onnx", "cannot write to"),
    ("models quantize net.onnx nowhere -o x.onnx", "nowhere"),
    ("models quantize net.onnx images -o x.onnx --format int4", "qdq"),
    ("models quantize net.onnx images -o x.onnx --images 0", "--images"),
    ("models quantize net.onnx images", "--output"),
]


@pytest.mark.parametrize(("line", "named"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_line_that_names_it(line, named, place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    words = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", line)]
    monkeypatch.setattr(sys, "argv", ["vggbatch", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capfd.readouterr()
    assert stopped.value.code == 2, err
    assert out == ""
    assert err.count("error: ") == 1
    message = err.splitlines()[-1]  # what it was doing may stand before
    assert message.startswith("error: ")
    assert named in message
    assert not (place / "new").exists()
    console.configure()


@pytest.mark.parametrize(
    "line", ["score images -m net.onnx -o BAD", "pack images -o BAD", "predict images -m BAD.onnx"]
)
def test_a_name_that_libraries_do_not_take_is_one_line(line, place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    (place / "\udcff.onnx").write_bytes((place / "net.onnx").read_bytes())
    monkeypatch.setattr(sys, "argv", ["vggbatch", *line.replace("BAD", "\udcff").split()])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert r"\udcff" in (error := capfd.readouterr().err.splitlines()[-1])
    assert error.endswith("is not UTF-8: rename it, or name a link to it")
    console.configure()
