"""The help of every command, as it is printed."""

import re

import pytest
import typer
from typer.testing import CliRunner

from vggbatch import cli
from vggbatch.cli.commands.models import zoo
from vggbatch.config import JobConfig, known_keys, load_config
from vggbatch.config.load import ENV_PREFIX

COMMANDS = [
    *([command.name or command.callback.__name__] for command in cli.app.registered_commands),
    *(
        ["models", command.name or command.callback.__name__]
        for command in zoo.app.registered_commands
    ),
]


def help_of(*words: str) -> str:
    done = CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("words", [[], ["models"], *COMMANDS], ids=" ".join)
def test_flags_and_arguments_show_no_type(words):
    assert not re.findall(r"<(?:bool|str|list\[.*|int.*)>", help_of(*words))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_options_that_take_a_value_say_what_it_is(words):
    command = typer.main.get_command(cli.app)
    for word in words:
        command = command.commands[word]
    for option in command.params:
        if option.param_type_name == "option" and not option.is_flag:
            shown = option.display_type_rich(ctx=typer.Context(command))
            assert re.fullmatch(r"[A-Z0-9.,=@/\[\]_]+|<[a-z0-9_|]+>", shown), (option.name, shown)


def test_a_paragraph_is_one_whatever_the_width_of_the_code():
    text = " ".join(help_of("bench").split())
    assert "each in processes of its own. Repeat a command" in text


@pytest.mark.parametrize("words", ["score", "evaluate", "plan"])
def test_options_name_the_environment_variables_of_their_settings(words):
    shown = help_of(words)
    named = set(re.findall(r"\[\$(VGGBATCH_\w+)\]", re.sub(r"[\s│]", "", shown)))
    keys = {ENV_PREFIX + key.replace(".", "__").upper() for key in known_keys(JobConfig)}
    assert {"VGGBATCH_MODEL", "VGGBATCH_COMPUTE__ACTORS", "VGGBATCH_SELECT__PART"} < named <= keys


def test_a_variable_that_the_help_names_counts():
    for environ, key in (
        ({"VGGBATCH_COMPUTE__ACTORS": "3"}, ("compute", "actors")),
        ({"VGGBATCH_SELECT__LIMIT": "3"}, ("select", "limit")),
    ):
        section, name = key
        assert getattr(getattr(load_config(environ=environ), section), name) == 3
