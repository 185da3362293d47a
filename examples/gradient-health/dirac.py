"""The smallest GAN circles its equilibrium, unless D's slope is penalised.

After Mescheder et al. 2018 (arXiv:1801.04406, sections 2 and 3): the Dirac-GAN, data at 0, G = theta, D(x) = psi x.
Gradient descent moves (psi, theta) along a field whose Jacobian at the equilibrium (0, 0) decides: eigenvalues with a
negative real part mean convergence at a linear rate, +-i/2 or +-i circles. Here the engine itself is the field: one
phase of D and one of G, run from a point next to the origin, say how far it moves. Printed: the eigenvalues found that
way beside the closed forms, and how far from the origin 500 steps of .2 from (1, 1) end, both phases from the same
point (simultaneous) or G's after D's (alternating, as the engine trains).

Picture: these 500 steps, simultaneous (light) and alternating (dark), with the eigenvalues. Steps of finite length turn
the circles into spirals outwards where the loss is linear (Wasserstein, simultaneous) and slowly inwards where it bends
(non-saturating). The Wasserstein loss with the gradient penalty of WGAN-GP does not settle either: its field is not
smooth at the origin and has no eigenvalues there.

    python examples/gradient-health/dirac.py [--quick] [-o DIR]
"""

import cmath
import math
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from publish import BLUE, HERE, arguments, publish
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import gancore
from gancore.training.phases import discriminator_phase, generator_phase

SMALL = 2.0**-10  # how far from the origin the field is measured; a power of 2 costs no digits


class Theta(nn.Module):
    """G(z) = theta."""

    latent_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.at.expand(len(z), 1)


class Psi(nn.Module):
    """D(x) = psi x."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.at * x[:, 0]


def pair(centre: float, square: float) -> tuple[complex, complex]:
    """centre +- sqrt(square)"""
    root = cmath.sqrt(square)
    return centre + root, centre - root


@frozen
class Case:
    """A loss with its penalties, and the eigenvalues in closed form."""

    loss: str
    penalties: dict[str, float]
    expected: tuple[complex, complex] | None

    @property
    def name(self) -> str:
        return " + ".join([self.loss, *(f"{name} {weight:g}" for name, weight in self.penalties.items())])


G = 0.3
CASES = [
    Case("nonsaturating", {}, pair(0, -1 / 4)),
    Case("nonsaturating", {"r1": G}, pair(-G / 2, G**2 / 4 - 1 / 4)),
    Case("nonsaturating", {"r1": 1.0}, pair(-1 / 2, 0)),
    Case("relativistic", {"r1": G, "r2": G}, pair(-G, G**2 - 1 / 4)),
    Case("wasserstein", {}, pair(0, -1)),
    Case("wasserstein", {"r1": G}, pair(-G / 2, G**2 / 4 - 1)),
    Case("wasserstein", {"wgan-gp": 1.0}, None),
    Case("hinge", {}, pair(0, -1)),
    Case("minimax", {}, pair(0, -1 / 4)),
    Case("minimax", {"r1": G}, pair(-G / 2, G**2 / 4 - 1 / 4)),
    Case("minimax", {"r2": 1.0}, pair(-1 / 2, 0)),
    Case("nonsaturating", {"r1": 2.0}, pair(-1, 3 / 4)),
    Case("relativistic", {}, pair(0, -1 / 4)),
]
DRAWN = 8  # the first ones


class Game:
    """The Dirac-GAN on the engine: put it somewhere, run a phase, see where it went."""

    def __init__(self, case: Case, lr: float) -> None:
        weight = {"r1": "gamma", "r2": "gamma", "wgan-gp": "weight"}
        tables = ", ".join(f'{{name = "{name}", {weight[name]} = {value}}}' for name, value in case.penalties.items())
        overrides = [f"loss.name={case.loss}", f"regularizer=[{tables}]", f"optimizer.lr={lr}"]
        self.psi, self.theta = Psi(), Theta()
        self.run = gancore.load(HERE / "dirac.toml", overrides).assemble(
            discriminator=self.psi, generator=self.theta, data=TensorDataset(torch.zeros(1, 1))
        )

    @property
    def at(self) -> tuple[float, float]:
        return float(self.psi.at.detach()), float(self.theta.at.detach())

    @at.setter
    def at(self, point: tuple[float, float]) -> None:
        with torch.no_grad():
            self.psi.at.fill_(point[0])
            self.theta.at.fill_(point[1])

    def simultaneous(self) -> None:
        """One update of D and one of G, both from where the game is."""
        psi, theta = self.at
        discriminator_phase(self.run.game, 0, self.run.numbers, measure=False)
        moved, _ = self.at
        self.at = psi, theta
        generator_phase(self.run.game, 0, self.run.numbers, measure=False)
        self.at = moved, self.at[1]


def eigenvalues(case: Case) -> list[complex]:
    """Of the Jacobian of the field at the origin, from one step of length 1 beside it in either direction."""
    game = Game(case, lr=1.0)
    columns = []
    for start in ((SMALL, 0.0), (0.0, SMALL)):
        game.at = start
        game.simultaneous()
        columns.append([(after - before) / SMALL for after, before in zip(game.at, start, strict=True)])
    J = torch.tensor(columns, dtype=torch.float64).T
    return [complex(value) for value in torch.linalg.eigvals(J)]


def error(found: list[complex], expected: tuple[complex, complex]) -> float:
    """The largest distance, over the better of the two ways to pair them."""
    return min(max(abs(a - b) for a, b in zip(found, order, strict=True)) for order in (expected, expected[::-1]))


def path(case: Case, steps: int, move: Callable[[Game], None]) -> list[tuple[float, float]]:
    """Where the game was, from (1, 1) on."""
    game = Game(case, lr=0.2)
    places = [game.at]
    for _ in range(steps):
        move(game)
        places.append(game.at)
    return places


def draw(found: dict[str, dict[str, Any]]) -> Figure:
    figure, axes = plt.subplots(2, DRAWN // 2, figsize=(10, 5.4), sharex=True, sharey=True)
    for ax, (name, case) in zip(axes.flat, found.items(), strict=False):
        for way, color in (("simultaneous", "#9ecae1"), ("alternating", BLUE)):
            psi, theta = zip(*case["path"][way], strict=True)
            ax.plot(theta, psi, color=color, lw=1, label=way)
        ax.plot(1, 1, "o", ms=4, color="black")
        ax.plot(0, 0, "+", ms=9, mew=1.5, color="black")
        ax.set_title(f"{name}\n{case['in words']}", fontsize=9)
        ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal")
    figure.supxlabel("$\\theta$, the fake", fontsize=10)
    figure.supylabel("$\\psi$, the slope of D", fontsize=10)
    axes[0, 0].legend(loc="lower left", handlelength=1.2)
    return figure


def in_words(values: list[complex]) -> str:
    """-.15 +- .477i"""
    centre, spread = sum(values) / 2, (values[0] - values[1]) / 2
    real = f"{centre.real:.3g}" if abs(centre.real) > 1e-6 else ""
    if abs(spread) < 1e-6:
        return f"{real}, twice"
    size = abs(spread.imag) if abs(spread.imag) > abs(spread.real) else abs(spread.real)
    return f"{real} \u00b1 {size:.3g}{'i' if abs(spread.imag) > abs(spread.real) else ''}".strip()


def main(args: Namespace) -> None:
    steps = 75 if args.quick else 500
    found: dict[str, dict[str, Any]] = {}
    for case in CASES:
        values = eigenvalues(case)
        paths = {
            "simultaneous": path(case, steps, Game.simultaneous),
            "alternating": path(case, steps, lambda game: game.run.advance()),
        }
        ends = {way: math.hypot(*places[-1]) for way, places in paths.items()}
        entry: dict[str, Any] = {"distance at the end": ends, "path": paths, "in words": "no eigenvalues"}
        if case.expected is not None:
            entry["eigenvalues"] = [[value.real, value.imag] for value in values]
            entry["error"] = error(values, case.expected)
            entry["in words"] = in_words(values)
        found[case.name] = entry
        told = f"off by {entry['error']:.0e}" if "error" in entry else ""
        print(f"{case.name:30s} {entry['in words']:15s} {told:13s}", end=" ")
        print(", ".join(f"{way} {distance:.2g}" for way, distance in ends.items()))
    figure = draw(found)
    for entry in found.values():
        del entry["path"]
    publish(figure, {"steps": steps, "step": 0.2, "cases": found}, args)


if __name__ == "__main__":
    main(arguments(__doc__))
