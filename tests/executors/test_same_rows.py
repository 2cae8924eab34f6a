"""Both executors write the same files, byte by byte, but for the ID of the run."""

import tarfile

import pytest

from tests.support.images import write_folder
from vggbatch import api
from vggbatch.config import load_config

COUNT = 26


def files(output):
    """Predictions file -> its bytes without the run's ID, and those of staging names."""
    plan = api.load_run(str(output))["plan"].encode()
    return {
        str(path.relative_to(output)): path.read_bytes().replace(plan, b"ID")
        for path in sorted(output.rglob("*.parquet"))
        if "_vggbatch" not in path.parts
    }


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_the_same(net, tmp_path, packed):
    """Listed files, whose chunks the driver cuts, and a tar, which a task indexes."""
    names = write_folder(tmp_path / "images", COUNT)
    (tmp_path / "images/00003x.jpg").write_bytes(b"no image")
    lines = "".join(f"{name},{number}\n" for number, name in enumerate(names[::2]))
    (tmp_path / "labels.csv").write_text(lines)
    zoo, squash = {"resize": 36, "crop": 32}, {"resize": 40, "crop": 32, "resize_mode": "squash"}
    source = tmp_path / ("images.tar" if packed else "images")
    if packed:
        with tarfile.open(source, "w") as tar:
            for path in sorted((tmp_path / "images").iterdir()):
                tar.add(path, path.name)
    options = {"input": (str(source),), "model": str(net)}
    options |= {"labels": [str(tmp_path / "labels.csv")]}
    options |= {"profiles": {"zoo": zoo, "squash": squash}}
    records = {}
    for executor in ("local", "ray"):
        settings = ["chunk_size=4", "rows_per_file=10", f"compute.executor={executor}"]
        values = {**options, "output": str(tmp_path / executor)}
        records[executor] = api.evaluate(
            load_config(options=values, settings=settings, environ={})
        ).record
        assert api.status(str(tmp_path / executor)).executor == executor
    local, ray = (files(tmp_path / executor) for executor in ("local", "ray"))
    assert len(local) > 4
    assert local == ray
    assert [records[executor]["executor"] for executor in ("local", "ray")] == ["local", "ray"]
    same = ("counts", "model", "preprocess", "left_out", "unused_labels", "profiles")
    assert all(records["local"][key] == records["ray"][key] for key in same)
