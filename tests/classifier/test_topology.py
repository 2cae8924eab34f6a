"""Trees as /sys has them on machines of many shapes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggbatch.classifier.topology import read_topology


def as_list(cpus):
    """The kernel's way to write a set of CPUs."""
    ranges = []
    for cpu in sorted(cpus):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def record(root, cores, caches, nodes, *, offline=(), siblings="core_cpus_list"):
    """Write a tree.

    Args:
        root: the folder that stands for /sys/devices/system.
        cores, caches, nodes: sets of logical CPUs; no caches: a virtual machine.
        offline: CPUs whose folder has no topology, as the kernel leaves it.
        siblings: name of the file with a core's CPUs.
    """
    for core in cores:
        for cpu in core:
            folder = root / f"cpu/cpu{cpu}"
            (folder / "topology").mkdir(parents=True)
            if cpu in offline:
                continue
            online = set(core) - set(offline)
            (folder / "topology" / siblings).write_text(as_list(online) + "\n")
            number = next(n for n, node in enumerate(nodes) if cpu in node)
            (folder / "topology/physical_package_id").write_text(f"{number}\n")
            (folder / f"node{number}").mkdir()
            for level, shared in (
                (1, online),
                (2, online),
                *((3, set(cache) - set(offline)) for cache in caches if cpu in cache),
            ):
                index = folder / f"cache/index{level}"
                index.mkdir(parents=True)
                (index / "level").write_text(f"{level}\n")
                (index / "shared_cpu_list").write_text(as_list(shared) + "\n")
    return root


def shape(topology):
    return [len(group) for group in topology.groups]


def test_one_core(tmp_path):
    record(tmp_path, [{0}], [{0}], [{0}])
    topology = read_topology([0], tmp_path)
    assert topology.groups == (((0,),),)
    assert topology.describe() == "1 core"


@pytest.mark.parametrize("siblings", ["core_cpus_list", "thread_siblings_list"])
def test_two_cores_with_hyperthreads(tmp_path, siblings):
    record(tmp_path, [{0, 2}, {1, 3}], [{0, 1, 2, 3}], [{0, 1, 2, 3}], siblings=siblings)
    topology = read_topology(range(4), tmp_path)
    assert topology.groups == (((0, 2), (1, 3)),)
    assert topology.cores == 2


def test_64_cores_in_8_groups(tmp_path):
    """An EPYC with hyperthreads: CPU n + 64 is the second thread of core n."""
    cores = [{n, n + 64} for n in range(64)]
    caches = [set().union(*cores[n : n + 8]) for n in range(0, 64, 8)]
    record(tmp_path, cores, caches, [set(range(128))])
    topology = read_topology(range(128), tmp_path)
    assert shape(topology) == [8] * 8
    assert topology.groups[1][0] == (8, 72)
    assert topology.describe() == "64 cores in 8 groups that share a cache"


def test_two_sockets(tmp_path):
    """CPUs alternate between the sockets, as some firmware numbers them."""
    nodes = [set(range(0, 48, 2)), set(range(1, 48, 2))]
    record(tmp_path, [{n} for n in range(48)], nodes, nodes)
    topology = read_topology(range(48), tmp_path)
    assert shape(topology) == [24, 24]
    assert topology.groups[1][:2] == ((1,), (3,))


def test_sockets_of_a_virtual_machine_without_caches(tmp_path):
    nodes = [set(range(4)), set(range(4, 8))]
    record(tmp_path, [{n} for n in range(8)], [], nodes)
    assert shape(read_topology(range(8), tmp_path)) == [4, 4]


def test_an_offline_cpu(tmp_path):
    """It is in no affinity mask, and its sibling is a core of one thread."""
    record(
        tmp_path, [{0, 4}, {1, 5}, {2, 6}, {3, 7}], [set(range(8))], [set(range(8))], offline=[5]
    )
    topology = read_topology({0, 1, 2, 3, 4, 6, 7}, tmp_path)
    assert topology.groups == (((0, 4), (1,), (2, 6), (3, 7)),)


def test_a_container_sees_the_whole_machine_and_may_use_a_part(tmp_path):
    cores = [{n, n + 8} for n in range(8)]
    record(tmp_path, cores, [{0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}], [range(16)])
    topology = read_topology(range(3, 7), tmp_path)
    assert topology.groups == (((3,),), ((4,), (5,), (6,)))
    assert read_topology([3, 11], tmp_path).groups == (((3, 11),),)


def test_without_sys_every_cpu_is_a_core(tmp_path):
    assert read_topology([2, 5], tmp_path).groups == (((2,), (5,)),)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_every_cpu_is_in_one_core_of_one_group(tmp_path_factory, data):
    count = data.draw(st.integers(1, 12))
    threads = data.draw(st.sampled_from([1, 2]))
    size = data.draw(st.integers(1, count))
    cores = [{n + count * t for t in range(threads)} for n in range(count)]
    caches = [set().union(*cores[n : n + size]) for n in range(0, count, size)]
    root = record(tmp_path_factory.mktemp("sys"), cores, caches, [range(count * threads)])
    cpus = data.draw(st.sets(st.integers(0, count * threads - 1), min_size=1))
    topology = read_topology(cpus, root)
    found = [cpu for group in topology.groups for core in group for cpu in core]
    assert sorted(found) == sorted(cpus)
    assert topology.cores == len({frozenset(core) for core in cores if core & cpus})
