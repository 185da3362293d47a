"""What the rules of gradient health may know of an experiment."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gancore.assemble.blueprint import Blueprint
from gancore.components import options_of
from gancore.contracts import ROLES, Facts, Penalty, Role
from gancore.experiment import Experiment, Selection
from gancore.experiment.fix import unique


def facts_of(experiment: Experiment, blueprint: Blueprint, networks: Mapping[Role, nn.Module], steps: int) -> Facts:
    """The facts, with every option's value in `tables`."""
    models = {role: blueprint.models[role] for role in ROLES}
    regularizers = [(selection, selection.create()) for selection in experiment.regularizers]
    loss = experiment.loss.create()
    tables: dict[str, Any] = {
        "train": {field.name: getattr(experiment.train, field.name) for field in options_of(type(experiment.train))},
        "loss": _table(experiment.loss),
        "data": _table(experiment.data) if experiment.data else {},
        "optimizer": {role: _table(getattr(experiment, f"optimizer_{role}")) for role in ROLES},
        "regularizer": {},
        "model_table": {},
    }
    for selection, _ in regularizers:  # the keys by which a remedy finds them in the file
        tables["regularizer"][unique(selection.name, tables["regularizer"])] = _table(selection)
    for role in ROLES:
        model: Selection | None = getattr(experiment, role)
        tables[role] = _table(model) if model else {}
        tables["model_table"][role] = str(model.path[0]) if model else ""
    lazy = {
        role: any(
            isinstance(component, Penalty) and component.every > 1 and getattr(component, "on", None) in (role, "both")
            for _, component in regularizers
        )
        for role in ROLES
    }
    return Facts(
        tables=tables,
        steps=steps,
        boundary=loss.boundary,
        lipschitz=getattr(loss, "lipschitz", False),
        mixes_samples=bool(getattr(models["discriminator"], "mixes_samples", False)),
        sign_statistics=tuple(s.name for s, component in regularizers if getattr(component, "sign_statistics", False)),
        lazy_uncorrected=tuple(
            role for role in ROLES if lazy[role] and not _corrects(getattr(experiment, f"optimizer_{role}"))
        ),
        data=blueprint.spec,
        generator=networks.get("generator"),
        discriminator=networks.get("discriminator"),
        ends=blueprint.ends,
    )


def _table(selection: Selection) -> dict[str, Any]:
    component = selection.create()
    return {"name": selection.name} | {
        field.name: getattr(component, field.name) for field in options_of(selection.cls)
    }


def _corrects(optimizer: Selection) -> bool:
    """Whether it changes something for lazy penalties."""
    made = [optimizer.create().build([nn.Parameter(torch.zeros(1))], lazy) for lazy in (1.0, 0.5)]
    return str(made[0].defaults) != str(made[1].defaults) or [
        {key: value for key, value in group.items() if key != "params"} for group in made[0].param_groups
    ] != [{key: value for key, value in group.items() if key != "params"} for group in made[1].param_groups]
