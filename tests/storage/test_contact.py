"""A store that cannot be reached costs the images in it, within seconds, and no job."""

import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.samples import jpeg
from tests.support.ports import free_ports
from tests.support.shards import read_all
from vggbatch.errors import ImageError, UsageError
from vggbatch.sources.discover import survey
from vggbatch.storage import contact, stores


@pytest.fixture(scope="module")
def gone():
    """An S3 server that takes no connection."""
    import s3fs

    [port] = free_ports(1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "_stores", {})
        patch.setattr(contact, "_contacts", {})
        patch.setattr(contact, "_TRIES", 1)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        yield
    s3fs.S3FileSystem.clear_instance_cache()


def test_lines_of_a_list_cost_their_rows_alone(tmp_path, gone):
    begun = time.monotonic()
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    lines = ["s3://b/x.jpg", "0.jpg", "s3://b/shard.tar", "1.jpg", "2.jpg", "s3://b/y.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    rows = read_all(survey([str(tmp_path / "list.txt")]).shards)
    assert f"{tmp_path}/0.jpg" in rows, "as it is called when the store can be reached"
    errors = {name: row for name, row in rows.items() if isinstance(row, ImageError)}
    assert errors.keys() == {"s3://b/x.jpg", "s3://b/shard.tar", "s3://b/y.jpg"}
    for error in errors.values():
        assert error.kind == "store"
        assert error.message.startswith("s3://b cannot be reached: ")
    assert sorted(rows[name] for name in rows.keys() - errors.keys()) == sorted(map(jpeg, range(3)))
    assert time.monotonic() - begun < contact._WAIT_S + 5


def test_rows_of_parquet_without_bytes_cost_themselves_alone(tmp_path, gone):
    column = [{"bytes": jpeg(0), "path": "0.jpg"}, {"bytes": None, "path": "s3://b/x.jpg"}]
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    first, second = read_all(survey([str(tmp_path / "a.parquet")]).shards).values()
    assert first == jpeg(0)
    assert isinstance(second, ImageError)
    assert second.kind == "store"


def test_a_list_of_nothing_else_is_refused_in_one_line(tmp_path, gone):
    (tmp_path / "list.csv").write_text("file,label\ns3://b/x.jpg,1\ns3://b/y.jpg,2\n")
    with pytest.raises(UsageError, match=r"^s3://b cannot be reached: [^\n]+$"):
        survey([str(tmp_path / "list.csv")])


def test_what_an_answer_is():
    assert not stores.no_answer(FileNotFoundError("no such bucket"))
    assert not stores.no_answer(PermissionError("denied"))
    assert not stores.no_answer(OSError("AWS Error SLOW_DOWN (HTTP status 503) during HeadObject"))
    assert stores.no_answer(OSError("AWS Error UNKNOWN (HTTP status 400) during HeadObject"))
    assert stores.no_answer(OSError("curlCode: 6, Couldn't resolve host name"))


def test_a_store_that_is_there_is_reached(s3_server):
    assert contact.why_unreachable("s3://nosuchbucket/x.jpg") is None
    assert contact.why_unreachable("https://127.0.0.1:1/x.jpg") is None, (
        "of the web each for itself"
    )


@pytest.mark.slow
def test_images_of_a_store_that_came_back_are_scored_by_a_retry(tmp_path, s3_server, monkeypatch):
    import s3fs

    from tests.support.here import Here
    from tests.support.images import cut
    from tests.support.images import jpeg as picture
    from tests.support.nets import color_net
    from vggbatch import api

    color_net(tmp_path / "net.onnx")
    fs, bucket = s3fs.S3FileSystem(), "s3://came-back"
    fs.mkdir(bucket)
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(picture(cut(number)))
    fs.pipe_file(f"{bucket}/4.jpg", picture(cut(4)))
    (tmp_path / "list.txt").write_text(f"0.jpg\n{bucket}/4.jpg\n1.jpg\n2.jpg\n3.jpg\n")

    def score(name, **options):
        contact._contacts.clear()
        stores._stores.clear()
        s3fs.S3FileSystem.clear_instance_cache()
        out, net = str(tmp_path / name), str(tmp_path / "net.onnx")
        settings = {"model": net, "output": out, "executor": Here(), "chunk_size": 2}
        api.score(str(tmp_path / "list.txt"), **settings, **options)
        return sorted(pq.read_table(f"{out}/predictions").to_pylist(), key=lambda r: r["image_id"])

    here = s3_server.endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    found = score("out")
    assert [(row["error"] or "")[:6] for row in found] == ["", "", "", "", "store:"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", here)
    assert score("out", retry="errors=store") == score("fresh")
    assert all(row["error"] is None for row in score("out"))
