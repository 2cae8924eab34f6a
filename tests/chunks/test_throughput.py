from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from vggbatch.chunks.stats import Stats
from vggbatch.chunks.throughput import LONGEST, Throughput

commits = st.lists(st.tuples(st.integers(1, 500), st.floats(1e9, 1e9 + 5e6)), max_size=40)


def test_images_are_counted_by_the_second():
    done = Throughput.of(32, 100.2) + Throughput.of(32, 100.9) + Throughput.of(8, 103.0)
    assert done.describe() == {
        "start": "1970-01-01T00:01:40+00:00",
        "interval_seconds": 1,
        "images": [[0, 64], [3, 8]],
    }
    assert Throughput().describe() is None


def test_a_long_run_is_coarsened_and_loses_no_image():
    done = reduce(add, (Throughput.of(2, second) for second in range(5000)), Throughput())
    assert done.interval == 16
    assert len(done.images) == 313 <= LONGEST
    assert sum(done.images.values()) == 10_000


@given(commits, st.randoms(use_true_random=False))
def test_the_sum_does_not_depend_on_order_or_grouping(moments, random):
    parts = [Throughput.of(*moment) for moment in moments]
    expected = reduce(add, parts, Throughput())
    random.shuffle(parts)
    cut = random.randint(0, len(parts))
    left, right = (reduce(add, half, Throughput()) for half in (parts[:cut], parts[cut:]))
    assert left + right == expected
    assert Stats.from_json(Stats(throughput=expected).to_json()).throughput == expected


def test_grouping_does_not_matter_beyond_the_limit():
    parts = [Throughput.of(1, 3.0 * i) for i in range(1500)]
    in_order = reduce(add, parts, Throughput())
    odd_then_even = reduce(add, parts[1::2], Throughput()) + reduce(add, parts[::2], Throughput())
    assert in_order == odd_then_even
