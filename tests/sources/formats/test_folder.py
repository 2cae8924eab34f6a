from vggbatch.sources.base import Member
from vggbatch.sources.formats.folder import SLICE, FileReader, member_of, slices
from vggbatch.sources.listing import Listed


def listed(name: str, root: str = "/r", size: int = 1, version: str = "v") -> Member:
    return member_of(Listed(f"{root}/{name}", name, size, version))


def test_slices_are_sorted_and_bounded():
    files = [listed(f"{i:05}.jpg") for i in range(SLICE + 10)]
    first, second = slices(reversed(files))
    assert (len(first.members), len(second.members)) == (SLICE, 10)
    assert first.members["name"][0].as_py() == "00000.jpg"
    assert (first.size, second.size) == (SLICE, 10)
    assert slices(files)[1].version == second.version


def test_version_follows_content():
    assert slices([listed("a.jpg")])[0].version != slices([listed("a.jpg", version="w")])[0].version
    assert slices([listed("a.jpg")])[0].version != slices([listed("a.jpg", size=2)])[0].version


def test_same_name_under_two_roots_stays_unique():
    (shard,) = slices([listed("a.jpg", "/r2"), listed("a.jpg", "/r1")])
    assert shard.members["name"].to_pylist() == ["a.jpg", "a.jpg#2"]
    assert shard.members["source"].to_pylist() == ["/r1/a.jpg", "/r2/a.jpg"]


def test_label_from_the_folder_even_above_the_root():
    member = member_of(Listed("/data/n01440764/x.jpg", "x.jpg", 1, ""))
    assert member.label == "n01440764"


def test_read_tells_missing_forbidden_and_short(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "d.jpg").mkdir()
    files = [listed(n, str(tmp_path), s) for n, s in [("a.jpg", 5), ("b.jpg", 5), ("d.jpg", 5)]]
    files += [listed("./a.jpg", str(tmp_path), -1), listed(".//a.jpg", str(tmp_path), 6)]
    (shard,) = slices(files)
    out = dict(
        zip(
            shard.members["name"].to_pylist(),
            FileReader().read(shard, shard.members),
            strict=True,
        )
    )
    assert out["a.jpg"] == out["./a.jpg"] == b"12345"
    assert out["b.jpg"].kind == "missing"
    assert out["d.jpg"].kind == "unreadable"
    assert str(out[".//a.jpg"]) == "truncated: the file ends 1 bytes early"
    small = dict(zip(out, FileReader().read(shard, shard.members, 4), strict=True))
    assert {o.kind for n, o in small.items() if n != "b.jpg"} == {"too_large"}
