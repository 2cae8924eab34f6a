import typer
from typer.testing import CliRunner

from tests.sources.samples import jpeg, tar_bytes
from tests.support.shards import write
from vggbatch.cli.commands.pack import pack
from vggbatch.errors import JobFailed
from vggbatch.sources.discover import discover
from vggbatch.sources.input_warnings import FURTHER, LEFT_OUT, RAW

app = typer.Typer()
app.command()(pack)


def test_pack(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}.jpg").write_bytes(jpeg(i))
    out = str(tmp_path / "out")
    done = CliRunner().invoke(app, [str(tmp_path / "in"), "-o", out, "--format", "parquet"])
    assert done.exit_code == 0, done.output
    assert [shard.name for shard in discover([out])] == ["shard-000000.parquet"]


def test_unreadable_images_fail_the_command(tmp_path):
    (tmp_path / "list.txt").write_text("none.jpg\n")
    done = CliRunner().invoke(app, [str(tmp_path / "list.txt"), "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, JobFailed)


def test_what_is_left_out_is_said(tmp_path):
    write(tmp_path / "in", {"a.jpg": jpeg(0), "b.nef": b"", "t.tar": tar_bytes(SAMPLE)})
    done = CliRunner().invoke(app, [str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    said = " ".join(done.output.split())
    for kind, name in ((RAW, "b.nef"), (FURTHER, "t.tar/0.seg.png"), (LEFT_OUT, "t.tar/0.cls")):
        assert f"not packed: 1 {kind}: {name}" in said


SAMPLE = {"0.jpg": jpeg(1), "0.seg.png": jpeg(2), "0.cls": b"1"}
