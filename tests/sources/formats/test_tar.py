import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.samples import jpeg, tar_bytes
from vggbatch.errors import ImageError
from vggbatch.sources.base import DAMAGED, Shard
from vggbatch.sources.formats.tar import TarReader


def shard_of(tmp_path, data: bytes, name: str = "a.tar") -> Shard:
    path = tmp_path / name
    path.write_bytes(data)
    return Shard("tar", str(path), name, len(data), "1")


def members_of(shard: Shard) -> list[dict]:
    return TarReader().members(shard).to_pylist()


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_are_read_in_place(tmp_path, format):
    files = {f"d/x.y.{i}.JPEG": jpeg(i) for i in range(5)} | {"d/notes.txt": b"no image"}
    shard = shard_of(tmp_path, tar_bytes(files, format))
    members = TarReader().members(shard)
    assert members["name"].to_pylist() == [f"d/x.y.{i}.JPEG" for i in range(5)]
    assert list(TarReader().read(shard, members)) == [jpeg(i) for i in range(5)]
    assert list(TarReader().read(shard, members.slice(3, 1))) == [jpeg(3)]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path, format):
    name = "/".join(["folder" * 10] * 4) + "/é.jpg"
    shard = shard_of(tmp_path, tar_bytes({name: jpeg(1), "b.jpg": jpeg(2)}, format))
    assert [m["name"] for m in members_of(shard)] == [name, "b.jpg"]
    assert list(TarReader().read(shard, TarReader().members(shard))) == [jpeg(1), jpeg(2)]


def test_hidden_members_and_leading_dot(tmp_path):
    files = {"./a.jpg": jpeg(1), "./._a.jpg": b"AppleDouble", ".x/b.jpg": b"", "c/": b""}
    assert [m["name"] for m in members_of(shard_of(tmp_path, tar_bytes(files)))] == ["a.jpg"]


def test_repeated_names_are_numbered(tmp_path):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for seed in (1, 2):
            info = tarfile.TarInfo("a.jpg")
            info.size = len(jpeg(seed))
            tar.addfile(info, io.BytesIO(jpeg(seed)))
    shard = shard_of(tmp_path, sink.getvalue())
    members = TarReader().members(shard)
    assert members["name"].to_pylist() == ["a.jpg", "a.jpg#2"]
    assert list(TarReader().read(shard, members)) == [jpeg(1), jpeg(2)]


BIGHORN = "bighorn, bighorn sheep, cimarron, Rocky Mountain bighorn, Rocky Mountain sheep"


def test_cls_members_label_their_key_before_and_after(tmp_path):
    files = {
        "0001.cls": b"7",
        "0001.jpg": jpeg(1),
        "0002.left.jpg": jpeg(2),
        "0002.cls": b"8\n",
        "key.with.dots.JPEG": jpeg(3),
        "key.with.dots.cls": b"9",
        "0004.jpg": jpeg(4),
        "0005.jpg": jpeg(5),
        "0005.cls": BIGHORN.encode(),
    }
    labels = [m["label"] for m in members_of(shard_of(tmp_path, tar_bytes(files)))]
    assert labels == ["7", "8", "9", None, BIGHORN]


def test_folder_names_label(tmp_path):
    shard = shard_of(tmp_path, tar_bytes({"n01440764/a.JPEG": jpeg(1), "x/b.JPEG": jpeg(2)}))
    assert [m["label"] for m in members_of(shard)] == ["n01440764", None]
    shard = shard_of(tmp_path, tar_bytes({"n01440764_1.JPEG": jpeg(1)}), "n01440764.tar")
    assert [m["label"] for m in members_of(shard)] == ["n01440764"]


def test_tar_of_tars(tmp_path):
    inner = {f"n0144076{i}.tar": tar_bytes({f"{i}.JPEG": jpeg(i)}) for i in range(3)}
    shard = shard_of(tmp_path, tar_bytes({**inner, "last.jpg": jpeg(9)}))
    members = TarReader().members(shard)
    assert members["name"].to_pylist() == [f"n0144076{i}.tar/{i}.JPEG" for i in range(3)] + [
        "last.jpg"
    ]
    assert members["label"].to_pylist() == ["n01440760", "n01440761", "n01440762", None]
    assert list(TarReader().read(shard, members)) == [jpeg(0), jpeg(1), jpeg(2), jpeg(9)]


def test_damage_in_an_inner_tar_costs_only_its_rest(tmp_path):
    inner = tar_bytes({"a.jpg": jpeg(1), "b.jpg": jpeg(2)})[:1024]
    members = members_of(shard_of(tmp_path, tar_bytes({"in.tar": inner, "z.jpg": jpeg(3)})))
    assert [m["name"] for m in members] == [f"in.tar/{DAMAGED}", "z.jpg"]
    assert members[0]["error"].startswith("bad_shard: ")


def test_concatenated_archives(tmp_path):
    shard = shard_of(tmp_path, tar_bytes({"a.jpg": jpeg(1)}) + tar_bytes({"b.jpg": jpeg(2)}))
    members = TarReader().members(shard)
    assert members["name"].to_pylist() == ["a.jpg", "b.jpg"]
    assert list(TarReader().read(shard, members)) == [jpeg(1), jpeg(2)]


def test_links(tmp_path):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        info = tarfile.TarInfo("d/a.jpg")
        info.size = len(jpeg(1))
        tar.addfile(info, io.BytesIO(jpeg(1)))
        for name, type_, target in [
            ("d/hard.jpg", tarfile.LNKTYPE, "d/a.jpg"),
            ("d/e/soft.jpg", tarfile.SYMTYPE, "../a.jpg"),
            ("d/gone.jpg", tarfile.SYMTYPE, "nowhere.jpg"),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = type_, target
            tar.addfile(info)
    shard = shard_of(tmp_path, sink.getvalue())
    *data, error = TarReader().read(shard, TarReader().members(shard))
    assert data == [jpeg(1)] * 3
    assert isinstance(error, ImageError)
    assert error.kind == "missing"


def test_every_cut_gives_the_whole_images_before_it_and_one_error(tmp_path):
    files = {f"{i}.jpg": jpeg(i, (8, 8)) for i in range(4)}
    whole = tar_bytes(files)
    complete = members_of(shard_of(tmp_path, whole))
    end = complete[-1]["offset"] + complete[-1]["size"]
    for cut in range(0, end, 97):
        members = members_of(shard_of(tmp_path, whole[:cut]))
        kept = [m for m in complete if m["offset"] + m["size"] <= cut]
        assert members[:-1] == kept
        assert members[-1]["name"] == DAMAGED
        assert members[-1]["error"].startswith("bad_shard: tar ")


def test_cut_end_marker_is_an_error(tmp_path):
    files = {"a.jpg": bytes(512)}
    members = members_of(shard_of(tmp_path, tar_bytes(files)[:1024]))
    assert [m["name"] for m in members] == ["a.jpg", DAMAGED]


def test_damaged_header(tmp_path):
    data = bytearray(tar_bytes({"a.jpg": bytes(512), "b.jpg": bytes(512)}))
    data[1024 + 150] ^= 1
    members = members_of(shard_of(tmp_path, bytes(data)))
    assert [m["name"] for m in members] == ["a.jpg", DAMAGED]
    assert members[1]["error"] == "bad_shard: tar header damaged at byte 1024"


def test_missing_shard_is_one_error_row(tmp_path):
    (row,) = members_of(Shard("tar", str(tmp_path / "none.tar"), "none.tar", 1, "1"))
    assert row["error"].startswith("missing: ")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_bytes_give_rows_inside_the_file(tmp_path_factory, data):
    raw = bytearray(tar_bytes({"n01440764/a.jpg": bytes(700), "b.cls": b"1", "b.png": bytes(90)}))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, 4095))
        raw[place] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    shard = shard_of(tmp_path_factory.mktemp("fuzz"), bytes(raw))
    for row in members_of(shard):
        assert row["error"] or 0 <= row["offset"] <= row["offset"] + row["size"] <= len(raw)


@pytest.mark.parametrize("zeros", [11265, 40960 - 9216, 2**20, 2**21])
def test_zeros_in_the_place_of_members_are_an_error(tmp_path, zeros):
    """As of a download that was interrupted after space had been set aside for all of it."""
    whole = tar_bytes({f"{i}.jpg": jpeg(i, (8, 8)) for i in range(2)})
    complete = members_of(shard_of(tmp_path, whole))
    end = complete[-1]["offset"] + complete[-1]["size"]
    members = members_of(shard_of(tmp_path, whole[: end + -end % 512] + bytes(zeros + 3)))
    assert members[:-1] == complete
    assert members[-1]["error"].startswith("bad_shard: tar of ")
    (row,) = members_of(shard_of(tmp_path, bytes(end + 9 * 1024 + zeros)))
    assert row["error"].startswith("bad_shard: no tar but nothing but zero bytes")


@pytest.mark.parametrize("record", [512, 1024, 10240, 2**15, 2**16, 2**20])
def test_padding_of_any_writer_is_none(tmp_path, record):
    whole = tar_bytes({"a.jpg": jpeg(1, (8, 8))})
    complete = members_of(shard_of(tmp_path, whole))
    end = complete[-1]["offset"] + complete[-1]["size"]
    plain = whole[: end + -end % 512 + 1024]
    padded = plain + bytes(-len(plain) % record)
    assert members_of(shard_of(tmp_path, padded)) == complete
    assert members_of(shard_of(tmp_path, bytes(10240))) == []
    assert members_of(shard_of(tmp_path, plain * 2))[0] == complete[0]
