"""`gancore check`."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gancore.cli.lint import lint, located
from gancore.cli.train import SET

if TYPE_CHECKING:
    from torch import nn

    from gancore.experiment import Experiment, Selection


@click.command(
    short_help="Show what an experiment would train.",
    epilog="Example: gancore check examples/digits.toml --set train.batch_size=128",
)
@click.argument("file", type=click.Path(path_type=Path))
@SET
def check(file: Path, overrides: tuple[str, ...]) -> None:
    """Read FILE, build its networks without memory, and print the plan: components, parameters, phases; and what is
    known to go wrong with it.

    Needs neither a GPU nor the data, and changes nothing on disk.
    """
    from rich.console import Console
    from rich.markup import escape

    from gancore.assemble import Objects, blueprint_of
    from gancore.experiment import read
    from gancore.registry import Registry

    experiment = read(file, Registry.discover(), overrides)
    assert experiment.data is not None
    spec = experiment.data.create().spec()
    blueprint = blueprint_of(experiment, spec, Objects())
    networks = blueprint.verify(experiment.train.batch_size)
    console = Console(highlight=False, soft_wrap=True)
    labels = f", {spec.classes} classes" if spec.classes else ""
    console.print(f"[bold]{escape(experiment.name)}[/]  {'×'.join(map(str, spec.shape))}{labels}")
    console.print()
    for line in _components(experiment):
        console.print(line, markup=False)
    console.print()
    for role, network in networks.items():
        console.print(f"{role:<14} {_parameters(network):>12,} parameters")
    console.print()
    for line in _phases(experiment):
        console.print(line)
    if found := located(lint(experiment, blueprint, networks), experiment, overrides):
        console.print()
    for _, problem in found:
        console.print(str(problem), markup=False)


def _components(experiment: "Experiment") -> list[str]:
    """Table, name and origin of each, in columns; below it the options that were given.

    The engine's own rules are there unasked and many: those without an option of their own share a line.
    """
    usual = [rule for rule in experiment.rules if not rule.options and rule.offer.plugin.distribution == "gancore"]
    rows = [
        (_where(selection), selection.name, str(selection.offer.plugin), _options(selection))
        for selection in experiment.selections
        if selection not in usual
    ]
    if usual and experiment.health.probe:
        rows.append(("health", f"{len(usual)} rules", str(usual[0].offer.plugin), ""))
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]]
    lines = []
    for *cells, options in rows:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        lines += textwrap.wrap(options, 76, initial_indent="    ", subsequent_indent="    ")
    return lines


def _where(selection: "Selection") -> str:
    from gancore.experiment.path import show

    if selection.brought_by:
        return f"(by {show(selection.brought_by)})"
    return show(selection.path)


def _options(selection: "Selection") -> str:
    from gancore.experiment.plain import plain

    return ", ".join(plain(f"{key}={value}", 400) for key, value in selection.options.items())


def _parameters(network: "nn.Module") -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _phases(experiment: "Experiment") -> list[str]:
    """A step in words."""
    from gancore.contracts import DiscriminatorInputs, GradientsReady, ParametersUpdated, Penalty

    train = experiment.train
    lines = []
    for role, times in (("discriminator", train.n_critic), ("generator", 1)):
        chosen = [(selection, selection.create()) for selection in experiment.regularizers]
        # What D is shown changes in both phases.
        parts = [f"{selection.name} →" for selection, component in chosen if isinstance(component, DiscriminatorInputs)]
        parts.append(f"{experiment.loss.name} loss")
        chosen = [(selection, component) for selection, component in chosen if component.on in (role, "both")]
        for selection, component in chosen:
            if isinstance(component, Penalty):
                parts.append(
                    f"+ {selection.name} penalty" + (f" every {component.every}" if component.every > 1 else "")
                )
            if isinstance(component, GradientsReady):
                parts.append(f"→ {selection.name}")
        parts.append(f"→ {getattr(experiment, f'optimizer_{role}').name}")
        parts += [f"→ {selection.name}" for selection, component in chosen if isinstance(component, ParametersUpdated)]
        lines.append(f"{times} × {role:<14} {' '.join(parts)}")
    length = f"{train.steps:,} steps" if train.steps else f"{train.epochs:g} epochs"
    return [
        f"{length}, batch {train.batch_size}, seed {train.seed}, {train.device}, {train.precision}; in each step:",
        *lines,
    ]
