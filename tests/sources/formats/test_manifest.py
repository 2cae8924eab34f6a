import pytest

from vggbatch.errors import UsageError
from vggbatch.sources.formats.manifest import read_manifest
from vggbatch.storage.filesystem import filesystem


def test_paths_uris_and_labels(tmp_path):
    (tmp_path / "m.csv").write_text(
        f"path,label\n./a.jpg,1\nsub/b.jpg,2\n{tmp_path}/c.jpg,3\n/far/d.jpg,4\n"
        "https://u:p@h/e.jpg?sig=1,5\ns3://b/n01440764/f.jpg,\n"
    )
    members = list(read_manifest(str(tmp_path / "m.csv")))
    assert [m.name for m in members] == [
        *("a.jpg", "sub/b.jpg", "c.jpg", "/far/d.jpg"),
        *("https://h/e.jpg", "s3://b/n01440764/f.jpg"),
    ]
    assert [m.label for m in members] == ["1", "2", "3", "4", "5", "n01440764"]
    assert members[0].source == f"{tmp_path}/a.jpg"
    assert members[4].source == "https://u:p@h/e.jpg?sig=1"
    assert {m.size for m in members} == {-1}


def test_not_text(tmp_path):
    (tmp_path / "m.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        list(read_manifest(str(tmp_path / "m.txt")))


def test_a_column_of_base64_is_refused_in_one_short_line(tmp_path):
    (tmp_path / "m.csv").write_text("image,label\n" + ("/9j/" * 5000 + ",3\n") * 2)
    with pytest.raises(
        UsageError, match=r"column 'image' names no images.* '/9j/[^ ]+\.\.\.'"
    ) as e:
        list(read_manifest(str(tmp_path / "m.csv")))
    assert len(str(e.value)) < 500


def test_what_is_refused_is_a_row(tmp_path):
    lines = [
        "nosuch://x.jpg",
        "reference://a::http://h/r.json",
        "http://[::1/x.jpg",
        "hdfs://h/x.jpg",
        "a.jpg",
        "file:///%ff.jpg",
        "s3://KEY:SECRET@b/x.jpg",
    ]
    (tmp_path / "m.txt").write_text("\n".join(lines) + "\n")
    members = list(read_manifest(str(tmp_path / "m.txt")))
    kinds = [(member.error or "").partition(":")[0] for member in members]
    assert kinds == ["refused"] * 4 + ["", "", "refused"]
    assert members[5].name == "file:///%FF.jpg", "a name that is not UTF-8 is kept as an address"
    assert not any("SECRET" in str(member) for member in members)


def test_local_names_are_names(tmp_path):
    names = ["a::b.jpg", "x#2.jpg", "what?.jpg", "50%.jpg", "a%20b.jpg"]
    (tmp_path / "m.csv").write_text("\n".join(["file", *names]) + "\n")
    members = list(read_manifest(str(tmp_path / "m.csv")))
    assert [member.name for member in members] == names
    assert [member.source for member in members] == [f"{tmp_path}/{name}" for name in names]


def test_file_uris_are_decoded(tmp_path):
    (tmp_path / "m.txt").write_text(f"{(tmp_path / 'my images' / 'b 12.jpg').as_uri()}\n")
    (member,) = read_manifest(str(tmp_path / "m.txt"))
    assert (member.name, member.source) == ("my images/b 12.jpg", f"{tmp_path}/my images/b 12.jpg")


def test_a_list_in_a_store_names_no_file():
    fs, path = filesystem("memory://lists/m.txt")
    fs.pipe_file(path, b"/etc/passwd.jpg\nfile:///etc/passwd.jpg\nmemory://lists/a.jpg\n../b.jpg\n")
    members = list(read_manifest("memory://lists/m.txt"))
    assert [bool(member.error) for member in members] == [True, True, False, False]
    assert [member.source for member in members[2:]] == [
        "memory://lists/a.jpg",
        "memory://lists/b.jpg",
    ]
