"""What a change of the experiment looks like, given what stands there already."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gancore.contracts import Change, Facts, Role

PENALTIES = {"r1": "gamma", "r2": "gamma", "wgan-gp": "weight", "dragan": "weight"}  # all for D
FLATTENING = ("r1", "r2")  # pull D's slope to 0; the others hold it at 1
FURTHEST = 1000.0  # a penalty's weight is changed by this factor at most: one look is no measurement of it
FASTEST = {"sgd": 1.0}  # a learning rate above this is never proposed
FASTEST_USUALLY = 1e-2  # of optimizers that divide by the gradient's size, as most do


def regularizers(facts: Facts) -> Mapping[str, Mapping[str, Any]]:
    """Their tables by name."""
    found: Mapping[str, Mapping[str, Any]] = facts.tables.get("regularizer", {})
    return found


def penalties(
    facts: Facts, role: Role = "discriminator", names: Collection[str] = tuple(PENALTIES)
) -> Iterator[tuple[str, str, float]]:
    """Of one network's penalties those whose weight is known: key, option and value."""
    for key, table in regularizers(facts).items():
        name = table.get("name", key)
        option = PENALTIES.get(name, "")
        if name in names and option in table and table.get("on", "discriminator") in (role, "both"):
            yield key, option, table[option]


def constrained(facts: Facts) -> bool:
    """Whether something bounds D's slope."""
    bounds = {"wgan-gp", "dragan", "r1", "r2", "spectral-norm", "weight-clipping"}
    return bool(bounds & set(regularizers(facts)))


def weigh(
    facts: Facts, factor: float, role: Role = "discriminator", names: Collection[str] = tuple(PENALTIES)
) -> tuple[str, tuple[Change, ...]] | None:
    """Multiply the weights of those `penalties`, which are measured together: what to say, and the changes."""
    factor = min(max(factor, 1 / FURTHEST), FURTHEST)
    values = [(key, option, rounded(value * factor)) for key, option, value in penalties(facts, role, names)]
    if not values:
        return None
    said = " and ".join(f"{option} of {key} to {value:g}" for key, option, value in values)
    return f"Set {said}", tuple(Change(("regularizer", key, option), value) for key, option, value in values)


def add(name: str, **options: Any) -> tuple[Change, ...]:
    """A regularizer that is not there yet."""
    return tuple(Change(("regularizer", name, key), value) for key, value in options.items()) or (
        Change(("regularizer", name), {}),
    )


def learning_rate(facts: Facts, role: Role, factor: float) -> tuple[str, tuple[Change, ...]]:
    """Multiply the learning rate of one network; never to more than what its optimizer can make use of."""
    options = facts.tables.get("optimizer", {}).get(role, {})
    if "lr" not in options:
        return f"Change the {role}'s learning rate by a factor of {factor:.2g}", ()
    highest = FASTEST.get(options.get("name", ""), FASTEST_USUALLY)
    if factor > 1 and options["lr"] >= highest:
        return f"Leave the {role}'s learning rate, which is high already, and try another model", ()
    value = rounded(min(options["lr"] * factor, highest))
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
