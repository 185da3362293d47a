"""A discriminator that is trained alone kills the gradient of the minimax loss.

After Arjovsky & Bottou 2017 (arXiv:1701.04862), theorem 2.4 and figures 2 and 3: G is trained for a while and then
frozen, D starts from scratch and is trained alone. Every few updates of D the engine runs G's phase, with its probe,
and the update of G is undone.

Picture: the norm of G's gradient and its factors A (slope of the loss at D's scores) and B (slope of D at the fakes),
against D's updates. log(1 - D) loses its gradient because A falls, although B grows; -log D keeps A at 1 and its
gradient grows with B; R1 holds B down and so keeps A, and with it the gradient of both losses, alive.

    python examples/gradient-health/saturation.py [--quick] [-o DIR]
"""

from argparse import Namespace
from copy import deepcopy
from statistics import median
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from publish import BLUE, HERE, ORANGE, arguments, mnist, publish, said
from torch import nn

import gancore
from gancore.contracts import Vitals
from gancore.training.phases import discriminator_phase, generator_phase

LOSSES = {"minimax": "log(1 - D), minimax", "nonsaturating": "-log D, non-saturating"}
NUMBERS = ("gradient/generator", "A", "B", "C", "auc")
R1 = 'regularizer=[{name = "r1", gamma = 1.0}]'


def settings(quick: bool) -> tuple[list[str], int, int, int]:
    """Overrides of the experiment, steps of G's own training, updates of D alone, and those between two looks."""
    if quick:
        return ['data={name = "digits", split = "test"}', "optimizer.discriminator.lr=2e-3"], 100, 800, 25
    root = mnist()
    return [f'data={{name = "mnist", root = "{root}"}}' if root else 'data={name = "digits"}'], 1000, 4000, 50


def trained_generator(overrides: list[str], steps: int) -> nn.Module:
    run = gancore.load(HERE / "saturation.toml", overrides).assemble()
    run.advance(steps)
    return run.game.generator.network


def train_d_alone(G: nn.Module, overrides: list[str], updates: int, every: int) -> dict[str, dict[str, Any]]:
    """D from scratch against a frozen G. What the probe measures under each loss, and what the doctor says at the end.

    Both losses have the same D: they differ on G's side only.
    """
    runs, D = {}, None
    for loss in LOSSES:
        loaded = gancore.load(HERE / "saturation.toml", [*overrides, f"loss.name={loss}"])
        runs[loss] = loaded.assemble(generator=G, latent_dim=64, discriminator=D)
        D = runs[loss].discriminator
    trained = runs["minimax"]
    frozen = deepcopy(G.state_dict())
    measured: dict[str, dict[str, Any]] = {loss: {name: [] for name in ("update", *NUMBERS)} for loss in LOSSES}
    for i in range(updates):
        look = (i + 1) % every == 0 or i == 0
        taps = trained.checkup.probe.phase("discriminator", whole=look, weigh=False)
        discriminator_phase(trained.game, i, trained.numbers, measure=False, probe=taps)
        if not look:
            continue
        of_d = trained.checkup.probe.fetch(i + 1)
        for loss, run in runs.items():
            taps = run.checkup.probe.phase("generator", whole=True, weigh=False)
            generator_phase(run.game, i, run.numbers, measure=False, probe=taps)
            G.load_state_dict(frozen)
            of_g = run.checkup.probe.fetch(i + 1)
            vitals = Vitals(i + 1, {**of_d.numbers, **of_g.numbers}, {**of_d.layers, **of_g.layers})
            measured[loss]["doctor"] = said(run.checkup.doctor.examine(vitals).holding)
            for name in NUMBERS:
                measured[loss][name].append(vitals.numbers[name])
            measured[loss]["update"].append(i + 1)
    return measured


def draw(curves: dict[str, dict[str, Any]], data: str) -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    titles = ["norm of G's gradient", "A: slope of the loss", "B: slope of D at the fakes"]
    for ax, number, title in zip(axes, NUMBERS, titles, strict=False):
        for name, curve in curves.items():
            loss, r1 = name.split(" + ")[0], "+" in name
            label = LOSSES[loss] + (" + R1" if r1 else "")
            style = {"color": ORANGE if loss == "minimax" else BLUE, "linestyle": "--" if r1 else "-"}
            ax.plot(curve["update"], curve[number], label=label, **style)
        ax.set(yscale="log", title=title, xlabel="updates of D, trained alone")
        ax.margins(x=0.02)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(f"G frozen, D trained alone on {data}: where G's gradient goes", x=0.01, ha="left", fontsize=11)
    return figure


def main(args: Namespace) -> None:
    overrides, steps, updates, every = settings(args.quick)
    G = trained_generator(overrides, steps)
    curves = train_d_alone(G, overrides, updates, every)
    with_r1 = train_d_alone(G, [*overrides, R1], updates, every)
    curves |= {f"{loss} + r1": curve for loss, curve in with_r1.items()}
    for name, curve in curves.items():
        curve["end / start"] = {number: median(curve[number][-5:]) / curve[number][0] for number in NUMBERS}
        told = ", ".join(f"{number} x {ratio:.2g}" for number, ratio in curve["end / start"].items())
        print(f"{name:20s} {told}; doctor: {'; '.join(curve['doctor']) or 'nothing'}")
    data = "digits" if "digits" in overrides[0] else "MNIST"
    publish(draw(curves, data), {"data": data, "updates": updates, "curves": curves}, args)


if __name__ == "__main__":
    main(arguments(__doc__))
