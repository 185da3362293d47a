"""What a change of the experiment looks like, given what stands there already."""

from collections.abc import Mapping
from typing import Any

from gancore.contracts import Change, Facts, Role

PENALTIES = {"r1": "gamma", "r2": "gamma", "wgan-gp": "weight", "dragan": "weight"}


def regularizers(facts: Facts) -> Mapping[str, Mapping[str, Any]]:
    """Their tables by name."""
    found: Mapping[str, Mapping[str, Any]] = facts.tables.get("regularizer", {})
    return found


def constrained(facts: Facts) -> bool:
    """Whether something bounds D's slope."""
    bounds = {"wgan-gp", "dragan", "r1", "r2", "spectral-norm", "weight-clipping"}
    return bool(bounds & set(regularizers(facts)))


def weigh(facts: Facts, factor: float) -> tuple[str, Change] | None:
    """Multiply the weight of D's first penalty that is known: what to say, and the change."""
    for name, table in regularizers(facts).items():
        key = PENALTIES.get(name)
        if key and key in table:
            value = rounded(table[key] * factor)
            return f"Set {key} of {name} to {value:g}", Change(("regularizer", name, key), value)
    return None


def add(name: str, **options: Any) -> tuple[Change, ...]:
    """A regularizer that is not there yet."""
    return tuple(Change(("regularizer", name, key), value) for key, value in options.items()) or (
        Change(("regularizer", name), {}),
    )


def learning_rate(facts: Facts, role: Role, factor: float) -> tuple[str, tuple[Change, ...]]:
    """Multiply the learning rate of one network."""
    options = facts.tables.get("optimizer", {}).get(role, {})
    if "lr" not in options:
        return f"Change the {role}'s learning rate by a factor of {factor:.2g}", ()
    value = rounded(options["lr"] * factor)
    return f"Set the {role}'s learning rate to {value:g}", (Change(("optimizer", role, "lr"), value),)


def rate_of_generator_where_d_is_much_faster(facts: Facts) -> float | None:
    """G's learning rate, if D's is more than four times as high; else None."""
    rates = [facts.tables.get("optimizer", {}).get(role, {}).get("lr", 0.0) for role in ("generator", "discriminator")]
    return rates[0] if rates[0] and rates[1] > 4 * rates[0] else None


def model_option(facts: Facts, role: Role, key: str, value: Any) -> Change | None:
    """An option of the model that makes a network; None where it has no such option, or has that value."""
    table = facts.tables.get(role, {})
    if key not in table or table[key] == value:
        return None
    return Change((facts.tables.get("model_table", {}).get(role, "model"), key), value)


def rounded(value: float) -> float:
    """Two significant digits: a suggestion, not a measurement."""
    return float(f"{value:.2g}")
