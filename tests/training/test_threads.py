"""How many threads a run computes with, and that it is the same every time."""

import os
import subprocess
import sys

import pytest
import torch

from gancore.experiment import Train
from gancore.training.threads import WORTH, Threads, choose

CPU = torch.device("cpu")
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)


@pytest.mark.parametrize(
    ("work", "environment", "number"),
    [
        (10 * WORTH, PASSIVE, 4),
        (0, PASSIVE, 4),  # nobody knows how large handed-in networks are
        (0.1 * WORTH, PASSIVE, 1),
        (10 * WORTH, {}, 1),  # they would spin
        (10 * WORTH, {"OMP_WAIT_POLICY": "active"}, 1),
        (10 * WORTH, {**PASSIVE, "OMP_NUM_THREADS": "2"}, None),  # torch has been told
    ],
)
def test_auto(work, environment, number):
    chosen = choose("auto", CPU, work, environment)
    assert chosen.number == number
    assert bool(chosen.why) == (number is not None)


def test_a_number_is_taken_at_its_word():
    assert choose(3, CPU, 0, {}).number == 3


def test_a_gpu_needs_none():
    assert choose("auto", torch.device("cuda"), 1e12, PASSIVE).number is None


def test_one_core_has_one_thread(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2}, raising=False)
    assert choose("auto", CPU, 1e12, PASSIVE).number == 1


def test_torchs_own_number_is_given_back():
    before = torch.get_num_threads()
    with Threads(before + 1).applied():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with Threads().applied():
        assert torch.get_num_threads() == before


def test_the_command_line_lets_threads_sleep():
    code = (
        "import os, sys; sys.argv = ['gancore', '--version']; from gancore.cli import main\n"
        "try: main()\nexcept SystemExit: print(os.environ['OMP_WAIT_POLICY'])"
    )
    for given, expected in (({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")):
        environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | given
        said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert said.stdout.split()[-1] == expected


@pytest.mark.parametrize("number", [0, -1, 99_999_999_999])
def test_a_number_that_nobody_has_is_refused(number):
    with pytest.raises(ValueError, match=f'^must be between 1 and 1024, or "auto", not {number}$'):
        Train(threads=number)
