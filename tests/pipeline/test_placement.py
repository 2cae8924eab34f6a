import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.config import ComputeOptions
from vggbatch.errors import UsageError
from vggbatch.pipeline.placement import (
    DECODE_CPUS,
    INDEX_CPUS,
    WRITE_CPUS,
    place,
)

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
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(cpus, wanted, words):
    with pytest.raises(UsageError, match=words):
        place(cpus, options(**wanted))
