"""`gancore check`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gancore.cli.train import SET

if TYPE_CHECKING:
    from torch import nn

    from gancore.experiment import Experiment, Selection


@click.command(epilog="Example: gancore check examples/digits.toml --set train.batch_size=128")
@click.argument("file", type=click.Path(path_type=Path))
@SET
def check(file: Path, overrides: tuple[str, ...]) -> None:
    """Read FILE, build its networks without memory, and print the plan: components, parameters, phases.

    Needs neither a GPU nor the data, and changes nothing on disk.
    """
    from rich.console import Console
    from rich.table import Table

    from gancore.assemble import Objects, blueprint_of
    from gancore.experiment import read
    from gancore.registry import Registry

    experiment = read(file, Registry.discover(), overrides)
    assert experiment.data is not None
    spec = experiment.data.create().spec()
    blueprint = blueprint_of(experiment, spec, Objects())
    networks = blueprint.verify()
    console = Console(highlight=False, soft_wrap=True)
    labels = f", {spec.classes} classes" if spec.classes else ""
    console.print(f"[bold]{experiment.name}[/]  {'×'.join(map(str, spec.shape))}{labels}")
    table = Table("table", "component", "from", "options", box=None, pad_edge=False)
    for selection in experiment.selections:
        plugin = selection.offer.plugin
        table.add_row(_where(selection), selection.name, str(plugin), _options(selection))
    console.print(table)
    console.print()
    for role, network in networks.items():
        console.print(f"{role:<14} {_parameters(network):>12,} parameters")
    console.print()
    for line in _phases(experiment):
        console.print(line)


def _where(selection: "Selection") -> str:
    from gancore.experiment.path import show

    if selection.brought_by:
        return f"(by {show(selection.brought_by)})"
    return show(selection.path)


def _options(selection: "Selection") -> str:
    return ", ".join(f"{key}={value}" for key, value in selection.options.items())


def _parameters(network: "nn.Module") -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _phases(experiment: "Experiment") -> list[str]:
    """A step in words."""
    from gancore.contracts import DiscriminatorInputs, GradientsReady, ParametersUpdated, Penalty

    train = experiment.train
    lines = []
    for role, times in (("discriminator", train.n_critic), ("generator", 1)):
        parts = [experiment.loss.name]
        for selection in experiment.regularizers:
            component = selection.create()
            if isinstance(component, DiscriminatorInputs):
                parts.insert(0, f"{selection.name} →")
            if component.on not in (role, "both"):
                continue
            if isinstance(component, Penalty):
                parts.append(f"+ {selection.name}" + (f" every {component.every}" if component.every > 1 else ""))
            if isinstance(component, GradientsReady):
                parts.append(f"→ {selection.name}")
        parts.append(f"→ {getattr(experiment, f'optimizer_{role}').name}")
        for selection in experiment.regularizers:
            after = selection.create()
            if after.on in (role, "both") and isinstance(after, ParametersUpdated):
                parts.append(f"→ {selection.name}")
        lines.append(f"{times} × {role:<14} {' '.join(parts)}")
    length = f"{train.steps:,} steps" if train.steps else f"{train.epochs:g} epochs"
    return [
        f"{length}, batch {train.batch_size}, seed {train.seed}, {train.device}, {train.precision}; in each step:",
        *lines,
    ]
