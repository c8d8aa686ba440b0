"""All commands of the training side by one name."""

from importlib import import_module

import pytest

from training import __main__ as program


def test_all_commands_are_told_and_can_be_called(capsys):
    assert program.main(["--help"]) == 0
    told = capsys.readouterr().out
    for name, summary in program.commands().items():
        assert f"  {name:<12} {summary}\n" in told
        assert summary
        assert callable(import_module(f"training.{name}").main)


def test_arguments_go_to_the_command(capsys):
    with pytest.raises(SystemExit) as end:
        program.main(["evaluate", "--help"])
    assert end.value.code == 0
    assert "--gts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"), [([], "a command is needed"), (["finetun"], "no command 'finetun'"), (["data"], "no comm")]
)
def test_what_is_no_command_is_refused(capsys, arguments, error):
    assert program.main(arguments) == 2
    assert f"error: {error}" in capsys.readouterr().err
