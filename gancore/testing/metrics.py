"""What every metric has to hold."""

import math
from collections.abc import Mapping
from typing import Any

from gancore.errors import ComponentError
from gancore.testing.kit import NotHere, Subject, Violation
from gancore.testing.materials import SPECS, draw


def says_when_and_on_how_much(subject: Subject) -> None:
    component = subject.create()
    for option in ("every", "samples"):
        if type(getattr(component, option, None)) is not int or getattr(component, option) < 1:
            raise Violation(f"{subject}: make `{option}` an option of type int with ge(1)")


def numbers_are_finite(subject: Subject) -> None:
    for found in _evaluated(subject):
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise Violation(f"{subject}: evaluate() returned {found!r}; return a dict of numbers by name")
        if sick := [f"{name} = {value}" for name, value in found.items() if not math.isfinite(float(value))]:
            raise Violation(f"{subject}: {', '.join(sick)}; a logged number has to be finite")


def same_samples_same_numbers(subject: Subject) -> None:
    if list(_evaluated(subject)) != list(_evaluated(subject)):
        raise Violation(f"{subject}: gives other numbers for the same samples; seed what it draws")


def _evaluated(subject: Subject) -> list[Any]:
    found = []
    for spec in SPECS:
        real, fake = (draw(64, *spec.shape, seed=seed).tanh() for seed in (0, 1))
        try:
            found.append(subject.create().evaluate(real, fake))
        except ComponentError:
            continue  # not made for such data
    if not found:
        raise NotHere(f"{subject} refuses all of the kit's data")
    return found


CHECKS = (says_when_and_on_how_much, numbers_are_finite, same_samples_same_numbers)
