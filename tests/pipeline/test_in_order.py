"""Iterators that work ahead in threads."""

import threading
import time

import pytest

from vggbatch.pipeline.in_order import Timed, in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_results_come_in_the_order_of_their_items(threads, count):
    def later_first(item):
        time.sleep(0.002 * (item % 3 == 0))
        return item * item

    assert list(in_order(later_first, iter(range(count)), threads)) == [n * n for n in range(count)]


def test_no_more_is_taken_than_a_few_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(str, items(), 3)
    assert [next(results) for _ in range(10)] == list(map(str, range(10)))
    assert len(taken) <= 10 + 2 * 3 + 1


def test_several_items_are_worked_on_at_once():
    together = threading.Barrier(3, timeout=30)
    assert len(list(in_order(lambda _: together.wait(), range(6), 3))) == 6


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("where", ["items", "function"])
def test_an_error_ends_it(threads, where):
    def items():
        yield from range(5)
        if where == "items":
            raise ValueError("five")

    def function(item):
        if where == "function" and item == 4:
            raise ValueError("five")
        return item

    results = in_order(function, items(), threads)
    with pytest.raises(ValueError, match="five"):
        list(results)


def test_waiting_is_timed_and_work_between_is_not():
    def items():
        for number in range(3):
            time.sleep(0.02)
            yield number

    started = time.perf_counter()
    timed = Timed(items())
    for _ in timed:
        time.sleep(0.05)
    assert 0.06 <= timed.seconds <= time.perf_counter() - started - 0.15
