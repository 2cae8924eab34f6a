from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.cluster.placement import DECODE_CPUS, INDEX_CPUS, WRITE_CPUS, Growth, place
from vggbatch.config import ComputeOptions
from vggbatch.errors import UsageError

nodes = st.lists(st.integers(1, 256).map(float), min_size=1, max_size=8)


def options(**values):
    return ComputeOptions.model_validate(values)


@given(
    cpus=nodes,
    threads=st.none() | st.integers(1, 16),
    actors=st.none() | st.integers(1, 64),
    decode=st.none() | st.integers(1, 1000),
)
def test_all_stages_fit_at_once(cpus, threads, actors, decode):
    """No task that holds a CPU can keep another stage from ever getting its own."""
    try:
        placement = place(cpus, options(threads=threads, actors=actors, decode_tasks=decode))
    except UsageError:
        return
    taken = placement.actors * placement.actor_cpus
    taken += placement.decode_tasks * DECODE_CPUS
    taken += placement.index_tasks * INDEX_CPUS + placement.write_tasks * WRITE_CPUS
    assert taken <= sum(cpus) + 1e-9
    assert placement.actors * placement.threads <= sum(cpus)


@given(
    cpus=st.lists(st.integers(0, 256).map(float), max_size=8),
    growth=st.none()
    | st.just(Growth())
    | st.builds(
        lambda nodes, size: Growth(nodes * size, size), st.integers(1, 50), st.integers(1, 128)
    ),
    max_cpus=st.none() | st.integers(1, 3000),
    threads=st.none() | st.integers(1, 16),
    actors=st.none() | st.integers(1, 64),
)
def test_a_share_and_a_limit_are_kept_however_the_cluster_grows(
    cpus, growth, max_cpus, threads, actors
):
    asked = options(threads=threads, actors=actors, max_cpus=max_cpus)
    try:
        placement = place(cpus, asked, growth)
    except UsageError:
        return
    assert 1 <= placement.actors <= placement.max_actors
    if max_cpus is not None:
        assert placement.max_actors * placement.threads <= max_cpus
        assert placement.decode_tasks <= max_cpus
    if growth is None:
        assert placement.max_actors * placement.threads <= sum(cpus)
    if growth is not None and growth.cpus is not None and actors is None:
        most = max(growth.cpus, sum(cpus), placement.threads)
        assert placement.max_actors * placement.threads <= most
    if actors is not None:
        assert (placement.actors, placement.max_actors) == (actors, actors)
        assert not placement.elastic
    # what is held while it waits for another stage never exceeds what is there from the start
    if sum(cpus) >= 1:
        present = placement.actors * placement.actor_cpus + placement.index_tasks * INDEX_CPUS
        assert present <= sum(cpus)


def test_a_fixed_cluster_does_not_grow():
    placement = place([4.0, 4.0], options())
    assert (placement.actors, placement.max_actors, placement.elastic) == (8, 8, False)


def test_a_cluster_that_an_autoscaler_bounds():
    placement = place([4.0], options(), Growth(cpus=40, node_cpus=4))
    assert (placement.actors, placement.max_actors, placement.elastic) == (4, 40, True)
    # a node that joins must not be filled with decoding tasks before it has a classifier
    assert placement.decode_tasks == 8
    assert place([4.0], options(), Growth(cpus=4800, node_cpus=4)).decode_tasks == 400


def test_a_cluster_without_nodes_yet():
    placement = place([], options(), Growth(cpus=64, node_cpus=16))
    assert (placement.nodes, placement.threads, placement.max_actors) == (0, 2, 32)
    with pytest.raises(UsageError, match="no node"):
        place([], options(), Growth())


def test_a_cluster_that_nodes_may_join_by_hand():
    assert place([2.0], options(), Growth()).max_actors > 1000


def test_a_small_input_gets_no_more_tasks_than_are_worth_their_start():
    placement = place([2.0], ComputeOptions(), Growth())
    small = placement.for_bytes(22_000_000)
    assert (small.decode_tasks, small.write_tasks) == (1, 1)
    assert replace(small, decode_tasks=4, write_tasks=512) == placement
    assert placement.for_bytes(100 * 2**20).decode_tasks == 3
    assert placement.for_bytes(2**40) == placement


def test_room_on_the_nodes_of_a_moment():
    placement = place([4.0], options(threads=2, max_cpus=9), Growth())
    assert placement.room([4.0]) == 2
    assert placement.room([0.0, 1.0, 3.0, 4.0]) == 3
    assert placement.room([64.0]) == placement.max_actors == 4
    assert placement.room([]) == 0


def test_a_share_of_a_large_cluster():
    placement = place([64.0] * 4, options(max_cpus=32), Growth())
    assert (placement.threads, placement.actors, placement.max_actors) == (4, 8, 8)
    assert place([64.0], options(max_cpus=2)).threads == 1


@pytest.mark.parametrize(
    ("cpus", "groups", "threads"),
    [
        (4, [4], 1),
        (16, [8, 8], 2),
        (14, [7, 7], 1),
        (64, [8] * 8, 4),
        (48, [24, 24], 4),
        (36, [6] * 6, 3),
        (44, [22, 22], 2),
        (64, [], 4),
    ],
)
def test_actors_fit_into_the_groups_of_cores_that_share_a_cache(cpus, groups, threads):
    placement = place([float(cpus)], options(), groups=groups)
    assert placement.threads == threads
    assert placement.actors == cpus // threads
    assert place([float(cpus)], options(threads=2), groups=groups).threads == 2


@given(cpus=nodes)
def test_by_default_every_core_has_a_thread_of_an_actor(cpus):
    placement = place(cpus, options())
    idle = sum(cpus) - placement.actors * placement.threads
    assert 0 <= idle < placement.threads * len(cpus)


def test_stages_ask_for_different_shares_so_that_ray_does_not_fuse_them():
    assert len({INDEX_CPUS, DECODE_CPUS, WRITE_CPUS}) == 3


@pytest.mark.parametrize("cpus", [1, 2, 4, 64])
def test_the_users_numbers_stand(cpus):
    placement = place([float(cpus)], options(actors=1, threads=1, decode_tasks=1))
    assert (placement.actors, placement.threads, placement.decode_tasks) == (1, 1, 1)


@pytest.mark.parametrize(
    ("cpus", "wanted", "words"),
    [
        ([], {}, "no node"),
        ([0.0], {}, "no node"),
        ([2.0, 2.0], {"threads": 3}, "threads=3 does not fit"),
        ([2.0, 2.0], {"actors": 5, "threads": 1}, "have room for 4"),
        ([8.0], {"max_cpus": 2, "threads": 4}, "max_cpus=2 is too small"),
        ([8.0], {"max_cpus": 3, "actors": 4, "threads": 1}, "too small for 4 actors"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(cpus, wanted, words):
    with pytest.raises(UsageError, match=words):
        place(cpus, options(**wanted))


def test_another_provider_gets_a_classifier_for_each_node_or_gpu():
    def shape(gpus, **values):
        placed = place([8.0, 8.0], options(**values), gpus=gpus)
        return placed.actors, placed.threads, placed.actor_gpus

    assert shape(0, provider="openvino") == (2, 8, 0)
    assert shape(4, provider="CUDAExecutionProvider") == (4, 4, 1)
    assert shape(4, provider="cuda", actors=2) == (2, 8, 1)
    assert shape(None, provider="cuda") == (2, 8, 1)
    for gpus, values in ((0, {}), (2, {"actors": 3})):
        with pytest.raises(UsageError, match=f"needs a GPU for each .* Ray counts {gpus} for"):
            shape(gpus, provider="cuda", **values)
