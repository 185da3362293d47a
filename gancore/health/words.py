"""What the numbers of a probe mean, in words."""

import math
from collections.abc import Callable, Mapping

ROLE = {"generator": "G", "discriminator": "D"}

MAIN = (
    "A", "B", "C", "rho/generator", "rho/discriminator", "update/generator", "update/discriminator", "auc", "diversity",
)  # fmt: skip

# Short enough for a table of 80 columns.
_MEANING: Mapping[str, Callable[[float], str]] = {
    "A": lambda v: "slope of the loss at D's scores; near 0 it is saturated",
    "B": lambda v: f"D's score changes by {number(v)} where a fake moves by 1",
    "C": lambda v: "what G's layers make of D's signal, down to the weights",
    "rho/generator": lambda v: f"G's first layer hears {_share(v)} of what its last hears",
    "rho/discriminator": lambda v: f"D's first layer hears {_share(v)} of what its last hears",
    "update/generator": lambda v: "share of G's weights that a step changes; 1e-3 is usual",
    "update/discriminator": lambda v: "share of D's weights that a step changes; 1e-3 is usual",
    "auc": lambda v: f"D prefers the real in {_share(v)} of pairs; 50 % is guessing",
    "diversity": lambda v: f"fakes differ from each other {_share(v)} as much as reals do",
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
