"""What a job is to do, as a shell gets it and as its digest distinguishes it."""

import json
import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbatch.errors import UsageError
from vggbatch.submit import Submission, environment


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=4))
def test_a_shell_gives_the_command_the_very_words(words):
    split = shlex.split(Submission(tuple(words)).entrypoint)
    assert split == ["python", "-P", "-m", "vggbatch", *words]


def test_a_working_directory_may_hold_the_code(tmp_path):
    command = Submission(("score",), working_dir=str(tmp_path)).entrypoint
    assert command == "python -m vggbatch score"


def test_any_shell_does(tmp_path):
    words = ["a b", "it's", '"', "$HOME", "`ls`", "*", "--set", "x=;rm", "", "\\", "é\n"]
    command = Submission(tuple(words)).entrypoint.removeprefix("python -P -m vggbatch")
    show = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"]
    done = subprocess.run(
        f"{shlex.join(show)} {command}", shell=True, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == words


def test_what_is_the_same_has_the_same_digest():
    def digest(words=("score",), package="gcs://a.zip", **environ):
        return Submission(words, environment=environ).digest(package)

    first = digest(A="1", B="2")
    assert digest(B="2", A="1") == first
    others = {digest(("plan",), A="1", B="2"), digest(A="1"), digest(package=None, A="1", B="2")}
    assert len(others | {first}) == 4


def test_the_environment_is_taken_or_given():
    here = {"TOKEN": "t", "EMPTY": ""}
    found = environment(["TOKEN", "EMPTY", "A=b=c", "B="], here)
    assert found == {"TOKEN": "t", "EMPTY": "", "A": "b=c", "B": ""}
    for wrong, said in {"NOT_HERE": "NOT_HERE=VALUE", "=x": "no name", "a b=1": "no name"}.items():
        with pytest.raises(UsageError, match=said):
            environment([wrong], here)
    assert "secret" not in repr(Submission(("score",), environment={"KEY": "secret"}))


def test_the_working_directory_must_be_there(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        Submission(("score",), str(tmp_path / "none"))
    Submission(("score",), "s3://bucket/config.zip")
