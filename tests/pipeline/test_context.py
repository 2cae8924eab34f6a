"""Ray Data's settings, seen from where they show: the terminal of a command."""

from tests.cluster import command, ray_nodes
from tests.images import write_folder


def test_a_run_on_a_cluster_prints_nothing_of_ray(net, tmp_path):
    write_folder(tmp_path / "images", 6)
    with ray_nodes(2) as nodes:
        score = command(
            *("score", tmp_path / "images", "-m", net, "-o", tmp_path / "out"),
            *("--address", nodes.address, "--set", "compute.ray_after=0", "--set", "chunk_size=2"),
        )
        _, said = score.communicate(timeout=170)
    assert score.returncode == 0, said
    # plain lines of progress come only where it is slow
    assert {line.split(",")[0].split(" of ")[-1] for line in said.splitlines()} == {"6 images"}
