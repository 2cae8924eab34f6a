import pytest

import vggbatch
from tests.support.images import write_folder


def test_images_are_packed_and_scored_from_their_shards(net, tmp_path):
    names = write_folder(tmp_path / "images", 5)
    heard = []
    totals = vggbatch.pack(tmp_path / "images", tmp_path / "shards", on_progress=heard.append)
    assert (totals.shards, totals.images) == (1, 5)
    assert heard[-1].images == 5
    again = vggbatch.pack([tmp_path / "images"], tmp_path / "shards")
    assert again.images == 5
    rows = vggbatch.predict(tmp_path / "shards", model=net).to_pylist()
    assert sorted(row["image_id"].rpartition("/")[2] for row in rows) == sorted(names)


def test_mistakes_are_errors(tmp_path):
    write_folder(tmp_path / "images", 1)
    for options, message in (
        ({"shard_format": "zip"}, "shard_format is 'zip': it is one of tar, parquet"),
        ({"shard_mb": 0}, "shard_mb is 0"),
        ({"columns": {"fiel": "x"}}, "unknown key 'fiel', did you mean 'file'"),
    ):
        with pytest.raises(vggbatch.UsageError, match=message):
            vggbatch.pack(tmp_path / "images", tmp_path / "shards", **options)
    (tmp_path / "list.txt").write_text("images/00000.jpg\nnone.jpg\n")
    with pytest.raises(vggbatch.JobFailed, match=r"1 images could not be read .*none.jpg"):
        vggbatch.pack(tmp_path / "list.txt", tmp_path / "partly")
