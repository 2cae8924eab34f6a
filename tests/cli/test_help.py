"""The help of every command, as it is printed."""

import re

import pytest
import typer
from typer.testing import CliRunner

from vggbatch import cli
from vggbatch.cli.commands.models import zoo

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
