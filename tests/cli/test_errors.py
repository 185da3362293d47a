"""Exit codes, tracebacks and help, whatever the command."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gancore as package
from gancore.cli import cli

Gancore = Any

MISCHIEF = """
from gancore import Component, component, hookimpl

@component
class Constructor:
    needs_real = False
    boundary = "none"

    def __attrs_post_init__(self):
        raise RuntimeError("not today")

@component
class Step:
    needs_real = False
    boundary = "none"

    def discriminator(self, real, fake):
        raise RuntimeError("lost my\\n  keys")

    def generator(self, real, fake):
        raise RuntimeError("never called")

@hookimpl
def gancore_losses():
    return [
        Component("in-constructor", "mischief:Constructor", "Cannot be made."),
        Component("in-step", "mischief:Step", "Cannot be used."),
    ]
"""

COMMANDS = [
    "train",
    "resume",
    "check",
    "probe",
    "doctor",
    "sample",
    "plugins",
    "list",
    "show",
    "schema",
    "init",
    "check-plugin",
    "new-plugin",
    "hooks",
    "replay",
    "checkpoint",
    "verify-resume",
]


def test_these_are_all_commands() -> None:
    assert list(cli.commands) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(command: str, gancore: Gancore) -> None:
    for flag in ("-h", "--help"):
        said = gancore(command, flag)
        assert (said.code, said.err) == (0, "")
        assert f"\n  Example: gancore {command} " in said.out


def test_the_help_lists_every_command_in_one_line_each(gancore: Gancore) -> None:
    out = gancore("--help").out
    listed = [line.split() for line in out.partition("Commands:\n")[2].splitlines()]
    assert sorted(words[0] for words in listed) == sorted(COMMANDS)
    assert all(words[-1].endswith(".") and not words[-1].endswith("...") for words in listed)


def test_version(gancore: Gancore) -> None:
    assert gancore("--version").out == f"gancore, version {package.__version__}\n"


@pytest.mark.parametrize("arguments", [("fly",), ("train",), ("train", "a.toml", "--sett", "x=1"), ("sample", "-n0")])
def test_a_wrong_command_line_exits_with_2(arguments: tuple[str, ...], gancore: Gancore) -> None:
    said = gancore(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: gancore ")
    assert "\nError: " in said.err


def test_a_users_mistake_shows_no_traceback_and_with_debug_it_does(process: Gancore) -> None:
    plain = process("show", "loss", "none")
    assert plain.code == 2
    assert "Traceback" not in plain.err
    debug = process("--debug", "show", "loss", "none")
    assert debug.code != 0
    assert debug.err.startswith("Traceback (most recent call last):\n")
    assert debug.err.endswith(f"gancore.errors.ComponentError: {plain.err}")


@pytest.mark.parametrize(
    ("loss", "message"),
    [("in-constructor", "RuntimeError: not today"), ("in-step", "RuntimeError: lost my\n  keys")],
)
def test_an_unexpected_error_of_a_component_says_where_to_look(
    loss: str, message: str, gancore: Gancore, tiny: Path, install: Any
) -> None:
    install("gancore-mischief", mischief=MISCHIEF)
    said = gancore("train", tiny, "--set", f"loss.name={loss}", "--set", "callback=[]")
    assert (said.code, said.out) == (1, "")
    assert said.err == f"{message}\n(an error in gancore or a plugin; `gancore --debug ...` shows where)\n"


def test_debug_shows_the_line_of_the_component(process: Gancore, tiny: Path, install: Any, fake_site: Path) -> None:
    install("gancore-mischief", mischief=MISCHIEF)
    said = process("--debug", "train", tiny, "--set", "loss.name=in-step", PYTHONPATH=str(fake_site))
    assert said.code == 1
    assert "Traceback (most recent call last):\n" in said.err
    assert f'{fake_site / "mischief.py"}", line ' in said.err
    assert said.err.endswith("RuntimeError: lost my\n  keys\n")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`gancore list | head -1`"""
    writer = subprocess.Popen(
        [sys.executable, "-m", "gancore", "list"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    assert writer.stderr.read() == b""
    assert writer.wait(60) == 1
    writer.stderr.close()
