"""`Experiment` -> TOML again, every option spelled out: what `experiment.toml` in a run folder holds."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import attrs
import tomlkit
from tomlkit.items import Table

from gancore.components import options_of
from gancore.experiment.tables import PROVIDABLE, Experiment, Selection


def write(experiment: Experiment) -> str:
    """The resolved experiment, with the versions of all distributions involved. Reading it gives the same
    experiment."""
    doc = tomlkit.document()
    doc.add(
        tomlkit.comment(
            "Resolved by gancore: every option with the value that is used, and the versions of all plugins."
        )
    )
    if missing := [name for name in PROVIDABLE if getattr(experiment, name) is None]:
        doc.add(tomlkit.comment(f"Handed in by a script, so that the script is needed to go on: {', '.join(missing)}."))
    doc["name"] = experiment.name
    if not experiment.callbacks:
        doc["callback"] = []  # without this key the default ones would come
    doc["plugins"] = tomlkit.table()
    distributions = {"gancore", *(selection.offer.plugin.distribution for selection in experiment.selections)}
    for distribution in sorted(distributions):
        doc["plugins"][distribution] = version(distribution)
    doc["train"] = _settings(experiment.train)
    doc["log"] = _settings(experiment.log)
    doc["health"] = _settings(experiment.health)
    for rule in experiment.rules:
        usual = rule.offer.qualified_name == f"gancore/{rule.path[1]}"
        doc["health"][rule.path[1]] = _selection(rule, named=not usual)
    if experiment.data:
        doc["data"] = _selection(experiment.data)
    if experiment.generator and experiment.generator is experiment.discriminator:
        doc["model"] = _selection(experiment.generator)
    else:
        for role in ("generator", "discriminator"):
            if selection := getattr(experiment, role):
                doc[role] = _selection(selection)
    doc["loss"] = _selection(experiment.loss)
    if experiment.optimizer_generator is experiment.optimizer_discriminator:
        doc["optimizer"] = _selection(experiment.optimizer_generator)
    else:
        both = tomlkit.table(is_super_table=True)
        both["generator"] = _selection(experiment.optimizer_generator)
        both["discriminator"] = _selection(experiment.optimizer_discriminator)
        doc["optimizer"] = both
    doc["checkpoint"] = _selection(experiment.checkpoint)
    for kind in ("regularizer", "metric", "callback"):
        if selections := getattr(experiment, f"{kind}s"):
            doc[kind] = tomlkit.aot()
            for selection in selections:
                doc[kind].append(_selection(selection))
    return tomlkit.dumps(doc)


def _settings(settings: Any) -> Table:
    return _table({field.name: getattr(settings, field.name) for field in options_of(type(settings))})


def _selection(selection: Selection, *, named: bool = True) -> Table:
    values = {
        field.name: selection.options.get(field.name, _default(field, selection)) for field in options_of(selection.cls)
    }
    return _table({"name": selection.offer.qualified_name, **values} if named else values)


def _default(field: "attrs.Attribute[Any]", selection: Selection) -> Any:
    return getattr(selection.create(), field.name)


def _table(values: dict[str, Any]) -> Table:
    table = tomlkit.table()
    for key, value in values.items():
        if value is not None:  # TOML has no null; an absent option has its default
            table[key] = _array(value) if isinstance(value, list | tuple) else value
    return table


def _array(values: Sequence[Any]) -> Any:
    """Of text, since tomlkit appends in quadratic time. Tables inside stay what tomlkit makes of them."""
    if any(isinstance(value, dict) for value in values):
        return list(values)
    items = (_array(value) if isinstance(value, list | tuple) else tomlkit.item(value) for value in values)
    return tomlkit.value(f"[{', '.join(item.as_string() for item in items)}]")
