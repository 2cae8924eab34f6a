import pytest

from vggbatch.bench.registry import NAMES, REFERENCE, choose, system
from vggbatch.errors import UsageError


def test_names_are_those_of_the_classes():
    assert [system(name).name for name in NAMES] == list(NAMES)
    assert REFERENCE in NAMES


def test_choice():
    assert choose() == list(NAMES)
    assert choose(only=["vggbatch", "bare"]) == ["bare", "vggbatch"]
    assert "daft" not in choose(skip=["daft"])


def test_mistakes():
    with pytest.raises(UsageError, match="did you mean 'daft'"):
        choose(only=["dafd"])
    with pytest.raises(UsageError, match="no system is left"):
        choose(only=["ray"], skip=["ray"])
