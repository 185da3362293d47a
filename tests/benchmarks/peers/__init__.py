"""Other libraries' trainers, on the networks of a gancore run and with the mathematics of `tests/benchmarks/loops.py`.

They are not among the dependencies: `pyproject.toml` says, at the group `peers`, how to install which. What a trainer
writes to files or to the screen is off, as it is for gancore in this benchmark; what it does with its numbers every
step stays, for it is part of training with it.
"""

import os
from functools import cache
from importlib import import_module

CANDIDATES = {
    "torchgan": ("with_torchgan", "Torchgan"),
    "torch-mimicry": ("with_mimicry", "Mimicry"),
    "pytorch-ignite": ("with_ignite", "Ignite"),
    "lightning": ("with_lightning", "Lightning"),
}
"""Module and class by distribution."""


class NotExpressible(Exception):  # noqa: N818 it is no error of anyone
    """The library has no way to train this workload."""


@cache
def installed() -> dict[str, type]:
    """The candidates by distribution, without those that are not installed or do not fit the installed torch."""
    found, environment = {}, dict(os.environ)
    for distribution, (module, name) in CANDIDATES.items():
        try:
            found[distribution] = getattr(import_module(f"{__name__}.{module}"), name)
        except Exception as problem:  # an old library may fail in any way
            reason = " ".join(str(problem).split())
            print(f"{distribution} is left out: {type(problem).__name__}: {reason}")
    # Lightning has torch ask NVML whether there is a GPU, in every step of everybody's optimizer: 50 microseconds.
    os.environ.clear()
    os.environ.update(environment)
    return found
