import typer
from typer.testing import CliRunner

from tests.sources.samples import jpeg
from vggbatch.cli.pack import pack
from vggbatch.errors import JobFailed
from vggbatch.sources.discover import discover

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
