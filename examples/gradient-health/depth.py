"""What depth does to the gradient of a network at its initial weights.

After Glorot & Bengio 2010 (section 4, equation 14) and He et al. 2015 (arXiv:1502.01852, section 2.2): discriminators
with 2 to 50 hidden layers, of every activation and initialisation that is in use, plain, with batch norm and with
residual connections, shown white noise as wide as their layers. The engine's probe measures the back-propagated signal
at every layer in D's first phase. Each layer multiplies it by a factor that is known for wide networks:

    plain       f: sigmoid .144 (torch's default weights, U(+-1/sqrt(n))), tanh <= .577, ReLU .408; Xavier with gain 1:
                sigmoid .25, tanh <= 1, ReLU .707; He: ReLU and leaky ReLU 1
    batch norm  at least sqrt(E phi'(u)^2 / Var phi(u)), u ~ N(0, 1), whatever the initialisation; that is never below 1
                (Poincare's inequality), for ReLU sqrt(pi / (pi - 1)) = 1.21 (Yang et al. 2019, arXiv:1902.08129), and
                more where some samples of the batch are much alike
    residual    sqrt(1 + f^2) for x + W phi(x): never below 1, and He's weights are then too large

Picture: the signal in the network of 50 layers on its way back from the last hidden layer, as a share of that layer's.
Dots: the first layers of the networks of 2, 5, 10, 20 and 50 (with batch norm the second ones: the first one's input is
of another scale). Cross: dead, the signal is exactly 0 in float32. Mind the two scales.

    python examples/gradient-health/depth.py [--quick] [-o DIR]
"""

import math
from argparse import Namespace
from typing import Any

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from publish import BLUE, GREEN, HERE, ORANGE, PURPLE, arguments, publish, said
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import gancore
from gancore.assemble import Loaded
from gancore.training.phases import discriminator_phase
from gancore_mlp.initialisation import initialise
from gancore_mlp.mlp import Mlp
from gancore_mlp.networks import ACTIVATIONS

DEPTHS = [2, 5, 10, 20, 50]
VARIANTS = PLAIN, BATCH_NORM, RESIDUAL = "plain", "batch norm", "residual"
COLORS = {"sigmoid": PURPLE, "tanh": GREEN, "relu": BLUE, "leaky-relu": ORANGE}
STYLES = {"default": "-", "xavier": "--", "he": ":"}
CASES = {
    "sigmoid": ["default", "xavier"],
    "tanh": ["default", "xavier"],
    "relu": ["default", "xavier", "he"],
    "leaky-relu": ["default", "he"],
}
SLOPES = {"sigmoid": 0.25, "tanh": 1.0, "relu": math.sqrt(1 / 2), "leaky-relu": math.sqrt((1 + 0.2**2) / 2)}
"""rms of phi' over inputs around 0; for sigmoid and tanh, whose slope falls on both sides, the largest there is."""


class Residual(nn.Sequential):
    """x + W phi(x), the order of He et al. 2016 (arXiv:1603.05027)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class White(nn.Module):
    """G(z) = z: noise, as D's reals here are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.latent_dim = width
        self.unused = nn.Parameter(torch.zeros(()))  # the engine wants something to train; G's phase never runs here

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z


def discriminator(activation: str, init: str, variant: str, depth: int, width: int) -> nn.Module:
    """D with `depth` hidden layers."""
    model = Mlp(
        hidden=(width,) * depth,
        activation=activation,
        init="default" if init == "xavier" else init,
        discriminator_norm="batch" if variant == BATCH_NORM else "none",
    )
    torch.manual_seed(0)
    D = model.discriminator(gancore.DataSpec((width,), range=None))
    if init == "xavier":
        initialise(D, "xavier", "sigmoid")  # the gain of a sigmoid is 1; `init = "xavier"` takes the activation's own
    if variant == RESIDUAL:
        layers = list(D.layers)
        middle = [Residual(*layers[i : i + 2]) for i in range(1, len(layers) - 2, 2)]
        D.layers = nn.Sequential(layers[0], *middle, *layers[-2:])
    return D


def law(activation: str, init: str, variant: str) -> tuple[str, float]:
    """What a wide layer multiplies the signal by, and whether that is exact (=) or a bound (<=, >=)."""
    if variant == BATCH_NORM:
        return ">=", mean_field(activation)
    scale = {"default": math.sqrt(1 / 3), "xavier": 1.0, "he": 1 / SLOPES[activation]}[init]
    plain = scale * SLOPES[activation]
    relation = "<=" if activation in ("sigmoid", "tanh") else "="
    return relation, math.sqrt(1 + plain**2) if variant == RESIDUAL else plain


def mean_field(activation: str) -> float:
    """sqrt(E phi'(u)^2 / Var phi(u)) for u ~ N(0, 1), by the midpoint rule."""
    u = torch.linspace(-8, 8, 100_001, dtype=torch.float64, requires_grad=True)
    weight = torch.exp(-(u.detach() ** 2) / 2)
    weight = weight / weight.sum()
    value = ACTIVATIONS[activation]()(u)
    (slope,) = torch.autograd.grad(value.sum(), u)
    value = value.detach()
    variance = (weight * value**2).sum() - (weight * value).sum() ** 2
    return float(((weight * slope**2).sum() / variance).sqrt())


def measure(D: nn.Module, game: Loaded) -> tuple[list[float], list[str]]:
    """The signal at D's hidden layers in its first phase, from the input on, and what the doctor says."""
    width = D.layers[0].in_features
    run = game.assemble(discriminator=D, generator=White(width), data=TensorDataset(torch.randn(1000, width)))
    assert run.checkup is not None
    taps = run.checkup.probe.phase("discriminator", whole=True, weigh=False)
    discriminator_phase(run.game, 0, run.numbers, measure=False, probe=taps)
    vitals = run.checkup.probe.fetch(1)
    signal = [layer["gradient"] for layer in vitals.layers["discriminator"].values()]
    return signal[:-1], said(run.checkup.doctor.examine(vitals).holding)


def first_layer(variant: str) -> int:
    """The first one to compare with others, from 0. Batch norm divides a signal by the scale of the layer's input."""
    return 1 if variant == BATCH_NORM else 0


def fitted(signal: list[float]) -> float:
    """The factor per layer, by least squares over the logarithms of what is not dead, without the first layer."""
    points = [(i, math.log(value)) for i, value in enumerate(reversed(signal[1:])) if value > 0]
    x, y = (sum(column) / len(points) for column in zip(*points, strict=True))
    return math.exp(sum((i - x) * (v - y) for i, v in points) / sum((i - x) ** 2 for i, _ in points))


def study(width: int) -> dict[str, dict[str, Any]]:
    """For every variant and case: the factors, the signal at the layers of the deepest, first / last at each depth."""
    game = gancore.load(HERE / "depth.toml")
    found: dict[str, dict[str, Any]] = {variant: {} for variant in VARIANTS}
    for variant in VARIANTS:
        for activation, init in [(activation, init) for activation, inits in CASES.items() for init in inits]:
            relation, expected = law(activation, init, variant)
            entry: dict[str, Any] = {"relation": relation, "law": expected, "first / last": {}, "doctor": {}}
            for depth in DEPTHS:
                signal, words = measure(discriminator(activation, init, variant, depth, width), game)
                entry["first / last"][depth] = signal[first_layer(variant)] / signal[-1]
                entry["doctor"][depth] = words
            entry["signal"] = [value / signal[-1] for value in signal]
            entry["factor"] = fitted(signal)
            found[variant][f"{activation} {init}"] = entry
            told = f"{activation}, {init}: factor {entry['factor']:.3f}, {relation} {expected:.3f}"
            print(f"{variant}, {told}; doctor: {from_depth_on(entry['doctor'])}")
    return found


def from_depth_on(words: dict[int, list[str]]) -> str:
    """What the doctor says, with the smallest number of hidden layers at which it does."""
    first: dict[str, int] = {}
    for depth, findings in words.items():
        for finding in findings:
            first.setdefault(finding, depth)
    return ", ".join(f"{finding} from depth {depth} on" for finding, depth in first.items()) or "nothing"


def draw(found: dict[str, dict[str, Any]]) -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(10, 4))
    axes[2].sharey(axes[1])
    for ax, (variant, cases) in zip(axes, found.items(), strict=True):
        for name, entry in cases.items():
            activation, init = name.split()
            color = COLORS[activation]
            skip = first_layer(variant)
            back = [value for value in reversed(entry["signal"][skip:]) if value > 0]
            ax.plot(back, STYLES[init], color=color, label=f"{activation}, {init}")
            if len(back) < DEPTHS[-1] - skip:
                ax.plot(len(back), back[-1] / 30, "X", ms=7, color=color)
                ax.annotate("dead: exactly 0", (len(back) - 2, back[-1] / 60), ha="right", color=color)
            ends = {depth - 1 - skip: ratio for depth, ratio in entry["first / last"].items() if ratio > 0}
            ax.plot(list(ends), list(ends.values()), ".", color=color)
        ax.set(yscale="log", title=variant, xlabel="layers passed on the way back")
    axes[0].set_ylabel("signal / that of the last hidden layer")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def main(args: Namespace) -> None:
    width = 128 if args.quick else 512
    found = study(width)
    publish(draw(found), {"width": width, "depths": DEPTHS, "found": found}, args)


if __name__ == "__main__":
    main(arguments(__doc__))
