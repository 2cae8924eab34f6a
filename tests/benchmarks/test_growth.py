from benchmarks.growth import grow
from tests.support.images import write_folder


def test_every_size_is_run(tmp_path):
    write_folder(tmp_path / "in", 5)
    [size] = grow([str(tmp_path / "in")], [40], tmp_path)
    assert size.images == 40
    assert size.rate == 40 / size.seconds
    assert size.peak_bytes > 100 * 2**20
