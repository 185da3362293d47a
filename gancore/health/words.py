"""What the numbers of a probe mean, in words."""

import math
from collections.abc import Callable, Mapping

ROLE = {"generator": "G", "discriminator": "D"}

MAIN = (
    "A", "B", "C", "rho/generator", "rho/discriminator", "update/generator", "update/discriminator", "auc", "diversity",
)  # fmt: skip

_MEANING: Mapping[str, Callable[[float], str]] = {
    "A": lambda v: "slope of the loss at D's scores; near 0 it is saturated and nothing leaves it",
    "B": lambda v: f"slope of D: its score changes by {number(v)} where a fake moves by 1",
    "C": lambda v: f"what G's layers make of D's signal: times {number(v)} by the time it is in the weights",
    "rho/generator": lambda v: f"G's first layer hears {_share(v)} of what its last one hears",
    "rho/discriminator": lambda v: f"D's first layer hears {_share(v)} of what its last one hears",
    "update/generator": lambda v: f"a step changes G's weights by {number(v)} of their norm; 1e-3 is usual",
    "update/discriminator": lambda v: f"a step changes D's weights by {number(v)} of their norm; 1e-3 is usual",
    "auc": lambda v: f"D scores the real above the fake in {_share(v)} of all pairs; 50 % is guessing",
    "diversity": lambda v: f"fakes are {_share(v)} as far from each other as reals are",
}


def meaning(name: str, value: float) -> str:
    """One of the main numbers in words."""
    if not math.isfinite(value):
        return "not a finite number: something has broken"
    return _MEANING[name](value)


def short(name: str) -> str:
    """As formulas write it: `rho/generator` is `rho(G)`."""
    what, _, role = name.partition("/")
    what = {"auc": "AUC"}.get(what, what)
    return f"{what}({ROLE.get(role, role)})" if role else what


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def _share(value: float) -> str:
    """Per cent, as far as that is readable."""
    return "nothing" if value == 0 else f"{100 * value:.3g} %" if 1e-4 <= abs(value) < 100 else number(value)
