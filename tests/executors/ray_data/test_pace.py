"""How long a pass rests between two steps."""

from vggbatch.executors.ray_data.pace import Pace


def begun():
    """The pace of a pass that began at 0 seconds."""
    pace = Pace()
    pace.rest(0.0, {})
    return pace


def test_a_short_pass_does_not_rest():
    pace = begun()
    for second in range(3, 30, 3):
        assert pace.rest(second, {"classify": (4, 8 * second)}) == 0
    pace.rest(30.0, {"classify": (4, 240)})
    assert pace.rest(33.0, {"classify": (4, 264)}) > 0


def test_there_is_no_rest_until_it_is_known_how_long_chunks_take():
    pace = begun()
    assert pace.rest(100.0, {"classify": (128, 0)}) == 0
    assert pace.rest(101.0, {"classify": (128, 8)}) == 0


def test_four_steps_fall_into_the_time_that_a_chunk_is_with_a_stage():
    pace = begun()
    pace.rest(100.0, {"index": (1, 5), "classify": (20, 100)})
    # 20 inside, 20 a second: each is in there for a second
    assert pace.rest(102.0, {"index": (1, 5), "classify": (20, 140)}) == 0.25
    # the stage with the shortest stay counts
    assert pace.rest(104.0, {"index": (1, 9), "classify": (20, 180)}) == 0.125
    # as it was, until two seconds are over
    assert pace.rest(105.0, {"index": (1, 99), "classify": (20, 999)}) == 0.125


def test_a_rest_has_an_end():
    pace = begun()
    pace.rest(100.0, {"classify": (128, 0)})
    assert pace.rest(102.0, {"classify": (128, 1)}) == 0.5


def test_a_pass_that_has_nothing_at_work_does_not_rest():
    pace = begun()
    pace.rest(100.0, {"classify": (4, 0)})
    assert pace.rest(103.0, {"classify": (4, 8)}) > 0
    assert pace.rest(106.0, {"classify": (0, 12)}) == 0


def test_another_plan_begins_without():
    pace = begun()
    pace.rest(100.0, {"classify": (4, 0)})
    assert pace.rest(103.0, {"classify": (4, 8)}) > 0
    assert pace.rest(103.5, {"write": (4, 8)}) == 0
