import os

import pytest

from vggbatch.cluster.quiet import silent_stderr


def fail():
    with silent_stderr():
        os.write(2, b"native")
        raise KeyError


def test_nothing_gets_through_and_all_does_afterwards(capfd):
    with pytest.raises(KeyError):
        fail()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
