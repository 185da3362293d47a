"""`gancore probe`."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

from gancore.cli.findings import OF_STATE, as_table, columns, evidence, heading, in_json, say, show_diff
from gancore.cli.train import SET

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor
    from torch.nn import Parameter

    from gancore.contracts import Finding, Role, Vitals
    from gancore.experiment import Experiment
    from gancore.training.run import Run

RULES = ("vanishing-depth", "exploding", "dead-units")  # those that can be asked before anything is trained
VERDICTS = {"vanishing-depth": "vanishing", "exploding": "exploding", "dead-units": "dying units"}
BAR = 24  # characters
DECADES = 4  # at least so many on a bar
EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command(
    short_help="Measure the gradient at every layer before training.",
    epilog="Example: gancore probe examples/digits.toml --set model.activation=sigmoid -o flow.svg",
)
@click.argument("file", type=click.Path(path_type=Path))
@SET
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="PICTURE", help="Also draw it, as .svg or .png.")
@click.option("--json", "as_json", is_flag=True, help='For scripts; NaN and infinity are the texts "nan" and "inf".')
def probe(file: Path, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Measure how strong the gradient is at every layer of the networks in FILE as they are initialised: one phase of D
    and one of G, on a few batches, all with the same weights, on which regularizers that change weights (weight
    clipping) have acted once. Trains nothing and writes no run folder."""
    from gancore.cli.folder import writable

    if out is not None:
        from gancore.health.report.export import demand_drawable, demand_matplotlib

        demand_matplotlib("-o")
        demand_drawable(out)
        out = writable(out)

    from gancore.assemble import assemble
    from gancore.experiment import read
    from gancore.registry import Registry

    experiment = read(file, Registry.discover(), (*overrides, "health.probe=true"))
    run = assemble(experiment)
    vitals = at_start(run)
    findings = _judge(experiment, run, vitals)
    if as_json:
        click.echo(in_json(_tables(vitals, findings)))
    else:
        _show(experiment, vitals, findings)
    if out is not None:
        _draw(vitals, out)
        if not as_json:
            click.echo(out)


def at_start(run: "Run") -> "Vitals":
    """What the probe measures on networks that have not been trained: medians over a few batches.

    Regularizers change weights after every update, so that training never meets them as they are initialised: they act
    once, before the first batch. Afterwards all weights are what they were.
    """

    from gancore.contracts import ROLES, Vitals
    from gancore.health.probe import WINDOW
    from gancore.training.numbers import Numbers
    from gancore.training.phases import discriminator_phase, generator_phase

    assert run.checkup is not None
    players = (run.game.discriminator, run.game.generator)
    parameters = [parameter for player in players for parameter in player.parameters]
    initial = [parameter.detach().clone() for parameter in parameters]
    for player in players:
        player.adjust_parameters()
    start = [parameter.detach().clone() for parameter in parameters]
    tap, found = run.checkup.probe, []
    with run.globals(), run.game.precision.applied():
        for i in range(WINDOW):
            for role, phase in zip(ROLES, (discriminator_phase, generator_phase), strict=True):
                phase(run.game, i, Numbers(), measure=False, probe=tap.phase(role, whole=True))
                _put_back(parameters, start)
            found.append(tap.fetch(i + 1))
    _put_back(parameters, initial)
    last = found[-1]
    return Vitals(
        step=0,
        numbers={
            name: median(vitals.numbers[name] for vitals in found)
            for name in last.numbers
            if not name.startswith("update/")  # first steps are like no others
        },
        layers={
            role: {
                name: {
                    "gradient": median(vitals.layers[role][name]["gradient"] for vitals in found),
                    "dead": layer["dead"],
                }
                for name, layer in layers.items()
            }
            for role, layers in last.layers.items()
        },
    )


def _put_back(parameters: "Iterable[Parameter]", values: "Iterable[Tensor]") -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data.copy_(value)


def _judge(experiment: "Experiment", run: "Run", vitals: "Vitals") -> "list[Finding]":
    """By the thresholds of the experiment, at once: without a warm-up, and without patience."""
    from gancore.health.history import History

    assert run.checkup is not None
    facts, history = run.checkup.doctor.facts, History()
    rules = [selection.create() for selection in experiment.rules if selection.name in RULES]
    found = [finding for rule in rules for finding in rule.judge(vitals, history, facts)]
    return sorted(found, key=lambda finding: ("fatal", "warn", "note").index(finding.severity))


# ------------------------------------------------------------------------------------------------------- terminal


def _show(experiment: "Experiment", vitals: "Vitals", findings: "Sequence[Finding]") -> None:
    from rich.console import Console
    from rich.text import Text

    from gancore.contracts import ROLES
    from gancore.health.words import MAIN, meaning, number, short

    console = Console(highlight=False)
    console.print(Text.assemble((experiment.name, "bold"), "  at initialisation"), soft_wrap=True)
    low, high = _range(vitals)
    for role in reversed(ROLES):
        if role in vitals.layers:
            console.print()
            console.print(role, style="bold")
            for line in _network(vitals, role, low, high):
                console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print()
    numbers = vitals.numbers
    rows = [(short(name), number(numbers[name]), meaning(name, numbers[name])) for name in MAIN if name in numbers]
    for line in columns(rows, right=(1,)):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print()
    _show_verdict(console, experiment, vitals, findings)


def _network(vitals: "Vitals", role: "Role", low: int, high: int) -> list[str]:
    """A line for each layer, the first one on top, where the signal arrives last."""
    layers = vitals.layers[role]
    last = list(layers.values())[-1]["gradient"]
    rows = [("layer", "rms", "of the last", f"10^{low} to 10^{high}".ljust(BAR), "dead")]
    for name, layer in layers.items():
        signal = layer["gradient"]
        share = f"{signal / last:.2g}" if last > 0 else "-"
        rows.append((name, f"{signal:.2e}", share, bar(signal, low, high), f"{layer['dead']:.0%}"))
    return columns(rows, right=(1, 2, 4))


def bar(value: float, low: int, high: int) -> str:
    """A bar on a logarithmic scale from 10^low to 10^high; words for what has no place on one."""
    if not math.isfinite(value):
        return "not finite".ljust(BAR)
    if value <= 0:
        return "exactly 0".ljust(BAR)
    eighths = round(8 * BAR * min(1.0, max(0.0, (math.log10(value) - low) / (high - low))))
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()).ljust(BAR)


def _range(vitals: "Vitals") -> tuple[int, int]:
    """Decades that hold all signals."""
    signals = [layer["gradient"] for layers in vitals.layers.values() for layer in layers.values()]
    logs = [math.log10(signal) for signal in signals if math.isfinite(signal) and signal > 0] or [0.0]
    high = math.ceil(max(logs))
    return min(math.floor(min(logs)) - 1, high - DECADES), high


def _show_verdict(
    console: "Console", experiment: "Experiment", vitals: "Vitals", findings: "Sequence[Finding]"
) -> None:
    from rich.text import Text

    from gancore.health.prescription import diff

    if not findings:
        reaches = [
            f"{vitals.numbers[f'rho/{role}']:.2g} of it in the {role}"
            for role in ("generator", "discriminator")
            if f"rho/{role}" in vitals.numbers
        ]
        words = f"the gradient reaches the first layer{'s: ' if reaches else ''}{', '.join(reaches)}"
        say(console, Text.assemble(("fine", OF_STATE["healthy"]), "  ", words))
    text, shown = Path(experiment.source).read_text("utf-8"), set()
    for i, finding in enumerate(findings):
        if i:
            console.print()
        say(console, heading(finding, ""))
        say(console, Text(finding.cause), 2)
        say(console, Text(evidence(finding), "dim"), 2)
        say(console, Text.assemble(f"→ {finding.remedy}", (f"  {finding.link}", "dim")), 2)
        lines = diff(text, finding.changes, Path(experiment.source).name)
        if lines and tuple(lines) not in shown:
            shown.add(tuple(lines))
            show_diff(console, lines, 4)


# --------------------------------------------------------------------------------------------- for scripts, picture


def _tables(vitals: "Vitals", findings: "Sequence[Finding]") -> dict[str, object]:
    return {
        "verdict": VERDICTS[findings[0].code] if findings else "fine",
        "numbers": vitals.numbers,
        "layers": vitals.layers,
        "findings": [as_table(finding) for finding in findings],
    }


def _draw(vitals: "Vitals", out: Path) -> None:
    from gancore.health.report.export import save
    from gancore.health.report.flow import flow_of
    from gancore.health.report.style import styled

    with styled(text=False):
        save(flow_of([vitals], {role: tuple(layers) for role, layers in vitals.layers.items()}), out)
