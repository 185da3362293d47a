"""What is printed fits 80 columns, and in a pipe a line stays a line."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gancore.registry import Registry

Gancore = Any


def on_a_terminal(columns: int, *arguments: str) -> list[str]:
    """The lines that `gancore ...` writes to a terminal of that width."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "gancore", *arguments]
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb"}
    with subprocess.Popen(command, stdout=its, stderr=subprocess.PIPE, env=environment) as process:
        os.close(its)
        output = b""
        while True:
            try:
                output += os.read(ours, 1 << 16)
            except OSError:  # Linux' way to say that the other end is closed
                break
        assert process.wait(60) == 0, process.stderr.read() if process.stderr else ""
    os.close(ours)
    return output.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()


def test_list_wraps_under_its_summary_on_a_narrow_terminal() -> None:
    lines = on_a_terminal(60, "list", "regularizer")
    assert max(map(len, lines)) <= 60
    at = next(i for i, line in enumerate(lines) if line.startswith("  diffaugment "))
    assert lines[at : at + 3] == [
        "  diffaugment          D sees reals and fakes in random",
        "                       colours, places and with holes.",
        "                       [gancore-augment]",
    ]


def test_list_in_a_pipe_is_a_line_per_component(gancore: Gancore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = gancore("list", "regularizer").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [o.name for o in Registry.discover().of_kind("regularizer")]


def test_check_keeps_long_options_within_80_columns(gancore: Gancore, tiny: Path) -> None:
    options = ("activation=relu", "norm=batch", "init=normal", "conditional=true", "discriminator_hidden=[64,32,16]")
    said = gancore("check", tiny, *(part for option in options for part in ("--set", f"model.{option}")))
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    assert "    latent_dim=8, hidden=(16,), " in said.out
    assert "discriminator_hidden=(64, 32, 16)" in said.out
