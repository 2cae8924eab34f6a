"""Every command with a file of another kind in the place of each of its files: a line, no trace."""

import os
import sys

import pytest

from tests.support.images import write_folder
from vggbatch import cli
from vggbatch.cli import console

CONTENT = {
    "empty": b"",
    "zeros": bytes(64),
    "noise": bytes(range(255, 0, -1)) * 2,
    "deep": b"[" * 100_000,
    "digits": b'{"a": ' + b"9" * 6000 + b"}",
    "zip": b"PK\3\4" + bytes(40),
    "parquet": b"PAR1" + bytes(20) + b"PAR1",
    "latin": b"Stra\xdfe.jpg,3\n",
    "html": b"<!DOCTYPE html><html></html>",
}
WRONG = [*CONTENT, "folder", "missing", "net.onnx/below", "loop", "n" * 300]
RUN = "images -m net.onnx -o new"
COMMANDS = [
    "plan X -m net.onnx -o new",
    "plan images -m X -o new",
    f"plan {RUN} -l X",
    f"plan {RUN} -l labels.csv@X",
    f"plan {RUN} -l labels.csv --set indices.names=X",
    f"plan {RUN} --set model.classes=X",
    "predict X -m net.onnx",
    "predict images -m X",
    "pack images -o X/below",
    "rescore X -l labels.csv",
    "status X",
    "compare X X",
    "report X",
    "models info X",
    "models prepare X",
    "models verify net.onnx --vectors X",
    "models quantize net.onnx images -o new.onnx -l X",
]
QUICK = ("empty", "deep", "folder", "net.onnx/below")
MAY_WORK = {
    "pack images -o folder/below",
    "pack images -o missing/below",
    "plan folder -m net.onnx -o new",
    "predict folder -m net.onnx",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, net):
    root = tmp_path_factory.mktemp("place")
    names = write_folder(root / "images", 2)
    for suffix in (".onnx", ".yaml"):
        (root / f"net{suffix}").write_bytes(net.with_suffix(suffix).read_bytes())
    (root / "labels.csv").write_text(f"file,class_index\n{names[0]},3\n")
    for name, data in CONTENT.items():
        (root / name).write_bytes(data)
    write_folder(root / "folder", 1)
    os.symlink("loop", root / "loop")
    return root


@pytest.mark.parametrize(
    "wrong",
    [pytest.param(w, marks=() if w in QUICK else pytest.mark.slow, id=w[:20]) for w in WRONG],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_another_kind_is_one_line(command, wrong, place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["vggbatch", *command.replace("X", wrong).split()])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    console.configure()
    _, err = capfd.readouterr()
    works = command.replace("X", wrong) in MAY_WORK
    assert stopped.value.code in ((0, None) if works else (1, 2))
    assert works or err.count("error: ") == 1
    assert "Traceback" not in err
    assert not (place / "new").exists()
