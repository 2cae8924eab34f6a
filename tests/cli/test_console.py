"""Lines of a run for whoever watches it without a terminal."""

from vggbatch.cli import console
from vggbatch.pipeline.tally import Snapshot


def test_a_note_is_shown_at_once_and_progress_every_ten_seconds(capsys):
    with console.progress() as listener:
        listener(Snapshot(1, 9, 0, 1.0))
        listener(Snapshot(2, 9, 0, 1.0, "no progress for 30 s, waiting for [free] CPUs"))
    assert capsys.readouterr().err == "no progress for 30 s, waiting for [free] CPUs\n"


def test_steps_are_told_now_and_then(capsys):
    with console.steps() as step:
        for number in range(50):
            step(f"layer {number} of 50")
    assert capsys.readouterr().err == "layer 0 of 50\n"


def test_an_estimate_and_a_slow_rate_show_as_such():
    assert (console.about(2000, exact=False), console.about(7, exact=True)) == ("~2,000", "7")
    assert [console.rate(x) for x in (24.94, 1.0, 0.0271)] == [
        "24.9 images/s",
        "1.0 images/s",
        "0.027 images/s",
    ]
