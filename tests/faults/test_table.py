"""The table of faults, from lines of logs."""

from tests.faults.table import table


def test_each_fault_counts_once_by_what_it_led_to_last():
    fault = {"store": "disk", "command": "score", "action": "eio", "count": 9}
    lines = [
        {**fault, "at": 1, "kind": "completed"},
        {**fault, "at": 2, "kind": "WRONG: status 0, but run.json differ"},
        {**fault, "at": 2, "kind": "refused: error: it belongs to another run"},
        {**fault, "at": 3, "kind": "WRONG: the disturbed run hung", "count": 8},
        {**fault, "store": "s3", "at": 1, "kind": "continued"},
    ]
    assert table(lines)[2:] == [
        "| disk | score | 9 | eio | 3 | 1c 1r 1W |",
        "| s3 | score | 9 | eio | 1 | 1n |",
    ]
