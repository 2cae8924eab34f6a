from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from vggbatch.cli.commands.compare import compare
from vggbatch.cli.commands.rescore import rescore
from vggbatch.models.catalog import synset
from vggbatch.output.schema import predictions_schema

app = typer.Typer()
app.command()(rescore)
app.command()(compare)


def write_run(folder: Path, seed: int, n: int = 60) -> Path:
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int32) * 7 % 1000
    index = np.stack([rng.choice(1000, 5, replace=False) for _ in range(n)]).astype(np.int32)
    right = rng.random(n) < 0.7
    index[right, 0] = labels[right]
    flat = pa.array(index.reshape(-1))
    synsets = pa.DictionaryArray.from_arrays(flat, pa.array(synset()))
    odds = np.tile(np.array([0.5, 0.2, 0.1, 0.05, 0.01], np.float32), n)
    table = pa.Table.from_arrays(
        [
            pa.array([f"a.tar/ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, n + 1)]),
            pa.array(["a.tar"] * n),
            pa.array(labels),
            pa.FixedSizeListArray.from_arrays(flat, 5),
            pa.FixedSizeListArray.from_arrays(pa.array(odds), 5),
            pa.FixedSizeListArray.from_arrays(synsets, 5),
            pa.nulls(n, pa.string()),
        ],
        schema=predictions_schema(),
    )
    (folder / "predictions").mkdir(parents=True)
    pq.write_table(table, folder / "predictions" / "part-000000.parquet")
    (folder / "run.json").write_text(
        json.dumps({"model": {"name": f"net{seed}", "synthetic": False}})
    )
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    return str(write_run(tmp_path / "a", 1)), str(write_run(tmp_path / "b", 2))


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_rescore_shows_and_writes(runs, tmp_path: Path):
    out = tmp_path / "out"
    text = invoke("rescore", runs[0], "--labels", "embedded", "-o", str(out))
    assert "top1 %" in text
    assert (out / "metrics" / "summary").exists()
    data = json.loads(invoke("rescore", runs[0], "-l", "embedded", "-l", "r=embedded", "--json"))
    assert {m["label_set"] for m in data["metrics"]} == {"ILSVRC2012", "r"}


def test_compare_shows_accuracies_movers_and_images(runs, tmp_path: Path):
    text = invoke("compare", *runs, "--differences", str(tmp_path / "d.parquet"), "--limit", "3")
    for word in ("net1 in", "net2 in", "b - a", "same first class", "class (of", "image (of"):
        assert word in text
    data = json.loads(invoke("compare", *runs, "--json"))
    assert data["images"] == 60
    assert data["differing_images"] == pq.read_table(tmp_path / "d.parquet").num_rows > 0
    assert "class (of" not in invoke("compare", *runs, "--limit", "0")
