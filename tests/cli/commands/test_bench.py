import json

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from tests.support.images import write_folder
from vggbatch.cli.commands.bench import bench
from vggbatch.errors import UsageError

app = typer.Typer()
app.command()(bench)
PARTS = ["--only", "bare", "--only", "prepared", "--only", "decoding", "--only", "loop"]


@pytest.fixture
def arguments(net, tmp_path) -> list[str]:
    write_folder(tmp_path / "in", 6)
    out = str(tmp_path / "out")
    return [str(tmp_path / "in"), "-o", out, "--model", str(net), "-n", "60", "--rounds", "2"]


@pytest.mark.slow
def test_one_table_three_times(arguments, tmp_path):
    done = CliRunner().invoke(app, [*arguments, *PARTS])
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    text = (out / "bench.txt").read_text()
    assert "plain loop, batch 16" in text
    assert "limit of the cores" in text
    assert "100.0%" in text
    assert "60 images (6 different), medians of 2 rounds" in text
    names = [line["system"] for line in json.loads((out / "bench.json").read_text())["lines"]]
    assert names == ["bare", "prepared", "decoding", "loop", "limit"]
    assert pq.read_table(out / "bench.parquet")["system"].to_pylist() == names
    assert not list(out.glob("work-*"))
    # all of it is there: nothing runs again
    again = CliRunner().invoke(app, [*arguments, *PARTS])
    assert again.exit_code == 0
    assert "round" not in again.stderr
    assert (out / "bench.txt").read_text() == text


def test_mistakes(arguments):
    for wrong, message in (
        (["--only", "dafd"], "did you mean 'daft'"),
        (["--int8", "none.onnx", *PARTS], "no model file"),
    ):
        done = CliRunner().invoke(app, [*arguments, *wrong])
        assert isinstance(done.exception, UsageError)
        assert message in str(done.exception)
