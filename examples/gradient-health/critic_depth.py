"""Weight clipping makes a deep critic's gradient vanish or explode, a gradient penalty does not.

After Gulrajani et al. 2017 (arXiv:1704.00028), figure 1b: a ReLU critic of 12 layers on the swiss roll, G fixed at the
reals plus N(0, 1) noise. A ReLU layer of W units whose weights are +-c with random signs multiplies the signal on its
way back by c sqrt(W / 2); the engine's probe measures it at every layer, in D's phase.

Picture, left: the signal at each of the critic's layers after training, under weight clipping and with the gradient
penalty, as a share of the last layer's. Right: its slope per layer against the width; dashed, the law. Rings are
critics right after their first clipping, dots trained ones. Training matters: where the signal is strong enough to move
them, the weights learn to agree (the largest singular value of a layer rises towards c W, that of random signs is
2 c sqrt(W)), and the signal comes close to c W / 2 per layer (dotted). So c = .1 explodes also where random signs would
let it vanish.

A layer is called dead (crosses) where not one bit of its weights has changed in the second half of the training,
although every step updates them: a weight's gradient, signal times input, is lost beside Adam's epsilon, and what is
left of it beside the weight. A signal of exactly 0 counts as dead too and is drawn at the bottom.

    python examples/gradient-health/critic_depth.py [--quick] [-o DIR]
"""

import math
from argparse import Namespace
from typing import Any

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from publish import BLUE, GREEN, HERE, ORANGE, PURPLE, arguments, publish, said
from torch import Tensor, nn

import gancore
from gancore.training.phases import discriminator_phase
from gancore_synthetic.swiss_roll import SwissRoll

LIMITS = {0.001: PURPLE, 0.01: BLUE, 0.1: ORANGE}
PENALTY = "gradient penalty"
DEPTH = 12
SHOWN = 128  # the width on the left


class NoisyReals(nn.Module):
    """A generator that is right up to noise, as in the paper: reals, picked by z[0], plus (z[1], z[2])."""

    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        (reals,) = SwissRoll(samples=10_000, seed=1).load().tensors
        self.register_buffer("reals", reals)
        self.unused = nn.Parameter(torch.zeros(()))  # the engine wants something to train; G's phase never runs here

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        place = torch.special.ndtr(z[:, 0]) * len(self.reals)
        return self.reals[place.long().clamp(max=len(self.reals) - 1)] + z[:, 1:]


def train(width: int, regularizer: str, updates: int, batch_size: int) -> dict[str, Any]:
    """A critic of DEPTH layers: the signal at each of them after one update and after all, and the doctor's words."""
    overrides = [f"discriminator.hidden={[width] * (DEPTH - 1)}", f"regularizer=[{regularizer}]"]
    overrides.append(f"train.batch_size={batch_size}")
    run = gancore.load(HERE / "critic_depth.toml", overrides).assemble(generator=NoisyReals())
    assert run.checkup is not None
    layers = [module for module in run.discriminator.modules() if isinstance(module, nn.Linear)]
    halfway: list[Tensor] = []
    found: dict[str, Any] = {}
    for i in range(updates):
        # The first update is measured by the next one's phase: a probe sees the weights before they are changed.
        look = i == 1 or (i + 1) % max(10, updates // 15) == 0
        taps = run.checkup.probe.phase("discriminator", whole=look, weigh=False)
        discriminator_phase(run.game, i, run.numbers, measure=False, probe=taps)
        if look:
            vitals = run.checkup.probe.fetch(i + 1)
            signal = [layer["gradient"] for layer in vitals.layers["discriminator"].values()]
            found["doctor"] = said(run.checkup.doctor.examine(vitals).holding)
            found["first" if i == 1 else "trained"] = {"signal": signal, "slope": slope(signal)}
        if i == updates // 2:
            halfway = [layer.weight.detach().clone() for layer in layers]
    pairs = zip(layers, halfway, strict=True)
    still = [torch.equal(layer.weight, before) for layer, before in pairs]
    found["dead"] = [i + 1 for i in range(DEPTH) if still[i] or not found["trained"]["signal"][i]]
    return found


def slope(signal: list[float]) -> float:
    """Decades per layer on the way back from the last hidden layer to the first, by least squares over those alive."""
    alive = [(depth, math.log10(value)) for depth, value in enumerate(reversed(signal[:-1])) if value > 0]
    middle = [sum(column) / len(alive) for column in zip(*alive, strict=True)]
    above = sum((depth - middle[0]) * (value - middle[1]) for depth, value in alive)
    return above / sum((depth - middle[0]) ** 2 for depth, _ in alive)


def law(limit: float, width: int) -> float:
    return math.log10(limit * math.sqrt(width / 2))


def regularizers() -> dict[str, str]:
    clipping = {f"c = {limit:g}": f'{{name = "weight-clipping", limit = {limit}}}' for limit in LIMITS}
    return clipping | {PENALTY: '{name = "wgan-gp", weight = 10.0}'}


def draw(found: dict[str, dict[int, Any]], widths: list[int]) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=[1.15, 1])
    colors = dict(zip(found, [*LIMITS.values(), GREEN], strict=True))
    layers = range(1, DEPTH + 1)
    for name, color in colors.items():
        result = found[name][SHOWN]["trained"]
        share = [value / result["signal"][-1] for value in result["signal"]]
        label = f"{name}: {result['slope']:+.2f} decades per layer"
        left.plot(layers, [value or math.nan for value in share], "o-", ms=4, color=color, label=label)
        dead = found[name][SHOWN]["dead"]
        left.plot(dead, [max(share[number - 1], 1e-30) for number in dead], "X", ms=9, color=color)
        for when, fill in (("first", "none"), ("trained", color)):
            slopes = [found[name][width][when]["slope"] for width in widths]
            right.plot(widths, slopes, "o", ms=6, color=color, mfc=fill)
    for limit, color in LIMITS.items():
        right.plot(widths, [law(limit, width) for width in widths], "--", lw=1, color=color)
    right.plot(widths, [math.log10(0.1 * width / 2) for width in widths], ":", lw=1.3, color=LIMITS[0.1])
    left.set(yscale="log", xticks=list(layers), xlabel="layer, from the input on", ylim=(1e-28, 1e11))
    left.set_title(f"signal at the layers of a critic of width {SHOWN} / last layer's")
    left.plot([], [], "X", ms=9, color="black", label="dead: no weight moves any more")
    left.legend(loc="lower right")
    right.axhline(0, color="black", lw=0.7)
    right.set(xscale="log", xlabel="width W", ylim=(-2.7, 3.1), title="decades per layer, on the way back")
    right.set_xticks(widths, [str(width) for width in widths])
    right.minorticks_off()
    marks = {
        "trained": {"color": "black", "marker": "o", "ls": ""},
        "after the first clipping": {"color": "black", "marker": "o", "mfc": "none", "ls": ""},
        r"random signs: $\log_{10} c\sqrt{W/2}$": {"color": "black", "ls": "--", "lw": 1},
        r"all agree: $\log_{10} c\,W/2$": {"color": "black", "ls": ":", "lw": 1.3},
    }
    right.legend([plt.Line2D([], [], **style) for style in marks.values()], list(marks), loc="upper left")
    return figure


def main(args: Namespace) -> None:
    widths, updates, batch_size = ([32, SHOWN], 80, 64) if args.quick else ([32, 64, SHOWN, 256, 512], 300, 128)
    found: dict[str, dict[int, Any]] = {name: {} for name in regularizers()}
    for name, regularizer in regularizers().items():
        for width in widths:
            result = found[name][width] = train(width, regularizer, updates, batch_size)
            dead = len(result["dead"])
            expected = f"{law(float(name[4:]), width):+.2f}" if name != PENALTY else " 0   "
            told = f"law {expected}, first {result['first']['slope']:+.3f}, trained {result['trained']['slope']:+.3f}"
            print(f"{name:16s} W = {width:3d}: {told}, {dead} dead; doctor: {'; '.join(result['doctor']) or 'nothing'}")
    laws = {f"c = {limit:g}": {width: law(limit, width) for width in widths} for limit in LIMITS}
    publish(draw(found, widths), {"depth": DEPTH, "updates": updates, "law": laws, "measured": found}, args)


if __name__ == "__main__":
    main(arguments(__doc__))
