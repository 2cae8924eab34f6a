"""Lines of a run for whoever watches it without a terminal."""

from vggbatch.cli import console
from vggbatch.pipeline.tally import Snapshot


def test_a_note_is_shown_at_once_and_progress_every_ten_seconds(capsys):
    with console.progress() as listener:
        listener(Snapshot(1, 9, 0, 1.0))
        listener(Snapshot(2, 9, 0, 1.0, "no progress for 30 s, waiting for [free] CPUs"))
    assert capsys.readouterr().err == "no progress for 30 s, waiting for [free] CPUs\n"
