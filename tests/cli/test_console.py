"""Lines of a run that is watched without a terminal."""

import io
import logging
import time

import pytest
import typer.main
from rich.console import Console

from vggbatch.cli import app, console, silence
from vggbatch.cli.one_line import cell
from vggbatch.output.progress import Snapshot


def test_a_note_is_shown_at_once_and_progress_every_ten_seconds(capsys):
    with console.progress() as on_progress:
        on_progress(Snapshot(1, 9, 0, 1.0))
        on_progress(Snapshot(2, 9, 0, 1.0, "no progress for 30 s, waiting for [free] CPUs"))
    assert capsys.readouterr().err == "no progress for 30 s, waiting for [free] CPUs\n"


def test_names_with_control_characters_stay_on_one_line_and_whole(capsys):
    console.failure("a\nb\rc.jpg: no such file", "  one\x1b[31m more")
    console.warning("tab\there")
    console.note("\x0bup\u2028")
    assert capsys.readouterr().err.splitlines() == [
        r"error: a\x0ab\x0dc.jpg: no such file",
        r"  one\x1b[31m more",
        r"warning: tab\x09here",
        r"\x0bup\u2028",
    ]
    console.line("/out\n[red]")
    assert capsys.readouterr().out == "/out\\x0a[red]\n"
    assert cell("[a]\r\n.jpg") == r"\[a]\x0d\x0a.jpg"


def test_what_is_logged_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler())
    console.show_log_lines_whole()
    record = logging.makeLogRecord({"msg": "no row: %s", "args": ("x\ny",), "levelno": 30})
    logging.lastResort.handle(record)
    assert capsys.readouterr().err == "no row: x\\x0ay\n"


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


@pytest.fixture
def terminal(monkeypatch):
    """Standard error as a terminal of 100 columns."""
    file = io.StringIO()
    monkeypatch.setattr(
        console, "err", Console(file=file, force_terminal=True, width=100, color_system=None)
    )
    return file


def test_a_terminal_has_a_bar_with_counts_and_notes_above_it(terminal):
    with console.progress() as on_progress:
        on_progress(Snapshot(1_024, 9_000, 2, 12.5, exact=False))
        on_progress(Snapshot(1_024, 9_000, 2, 12.5, "waiting for [free] CPUs", exact=False))
    shown = terminal.getvalue()
    assert "scoring" in shown
    assert "1,024/~9,000 12.5 images/s, 2 errors" in shown
    assert "waiting for [free] CPUs\n" in shown


def test_a_terminal_has_a_bar_of_bytes_and_one_line_of_steps(terminal):
    with console.transfer("vgg16-7.onnx") as on_progress:
        on_progress(10_000_000, 553_000_000)
    with console.steps() as step:
        step("layer 1 of 50: [conv]")
    shown = terminal.getvalue()
    assert "10.0/553.0 MB" in shown
    assert "layer 1 of 50: [conv]" in shown


def test_quiet_shows_none_of_it(terminal):
    console.configure(quiet=True)
    try:
        with console.progress() as on_progress, console.steps() as step:
            on_progress(Snapshot(1, 9, 0, 1.0, "note"))
            step("layer 1")
    finally:
        console.configure()
    assert terminal.getvalue() == ""


def test_without_progress_only_notes_are_shown(capfd):
    console.configure(progress=False)
    try:
        with console.progress() as on_progress, console.steps() as step:
            on_progress(Snapshot(rows=1, total=2, errors=0, images_per_second=1.0))
            on_progress(Snapshot(1, 2, 0, 1.0, note="no progress for 35 s"))
            step("reading")
    finally:
        console.configure()
    assert capfd.readouterr().err == "no progress for 35 s\n"


def test_a_command_that_is_silent_says_what_it_does_once(capsys, monkeypatch):
    monkeypatch.setattr(silence, "_SECONDS", 0.2)
    terminal = console._Terminal(stderr=True, force_terminal=True, no_color=True)
    monkeypatch.setattr(console, "err", terminal)
    with silence.explained("report"):
        time.sleep(0.6)
        console.note("a word")
        time.sleep(0.5)
    words = f"{silence.WORDS['report']} ..."
    assert capsys.readouterr().err.splitlines() == [words, "a word", words]


@pytest.mark.parametrize(
    ("command", "wanted"),
    [("config", {}), ("report", {"quiet": True}), ("report", {"progress": False})],
)
def test_silence_that_is_wanted_or_short_stays(capsys, monkeypatch, command, wanted):
    monkeypatch.setattr(silence, "_SECONDS", 0.1)
    console.configure(**wanted)
    try:
        with silence.explained(command):
            time.sleep(0.3)
    finally:
        console.configure()
    assert capsys.readouterr().err == ""


def test_the_words_are_of_commands_that_there_are():
    commands = typer.main.get_command(app).commands
    assert set(silence.WORDS) <= set(commands)
