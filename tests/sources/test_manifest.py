import pytest

from vggbatch.errors import UsageError
from vggbatch.sources.manifest import read_manifest


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
