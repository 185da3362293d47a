"""Sigmoid networks: the gradient of the first hidden layer shrinks with every layer that is added.

After Nielsen 2015, "Neural Networks and Deep Learning", chapter 5 (its script generate_gradient.py): networks
784-30-..-10 of sigmoids with L hidden layers of 30 units, weights N(0, 1 / n_in), biases N(0, 1), cross-entropy summed
over the ten outputs, and the gradient of its mean over the first 1,000 training images of MNIST. For every hidden layer
the norm of its biases' gradient is compared with the published one, which is of one draw of the weights.

Picture: the published norm (cross), those of 20 draws (dots) and their median (bar), for L = 2, 3 and 4.

    python examples/gradient-health/nielsen.py [--quick] [-o DIR]
"""

from argparse import Namespace
from statistics import median

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from publish import BLUE, ORANGE, arguments, mnist, publish
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from gancore_images.mnist import Mnist
from gancore_mlp.networks import hidden_layers

IMAGES, WIDTH, SEEDS = 1000, 30, 20
PUBLISHED = {2: [0.0657, 0.3092], 3: [0.0118, 0.0600, 0.2831], 4: [0.0030, 0.0171, 0.0695, 0.2851]}


def network(depth: int, seed: int) -> nn.Sequential:
    """784-30-..-10, the last sigmoid left to the loss."""
    net = nn.Sequential(*hidden_layers([784] + [WIDTH] * depth, "sigmoid", "none"), nn.Linear(WIDTH, 10))
    rng = torch.Generator().manual_seed(seed)
    for layer in linear(net):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=rng)
        nn.init.normal_(layer.bias, generator=rng)
    return net


def linear(net: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in net if isinstance(layer, nn.Linear)]


def norms(net: nn.Sequential, images: Tensor, labels: Tensor) -> list[float]:
    """Of the mean gradient of each hidden layer's biases."""
    target = one_hot(labels, 10).float()
    loss = binary_cross_entropy_with_logits(net(images), target, reduction="sum") / len(images)
    gradients = torch.autograd.grad(loss, [layer.bias for layer in linear(net)[:-1]])
    return [float(gradient.norm()) for gradient in gradients]


def draw(measured: dict[int, list[list[float]]]) -> Figure:
    figure, axes = plt.subplots(1, len(measured), figsize=(10, 3.2), sharey=True, width_ratios=[*measured])
    for ax, (depth, draws) in zip(axes, measured.items(), strict=True):
        layers = range(1, depth + 1)
        for number, values in zip(layers, zip(*draws, strict=True), strict=True):
            spread = [number + 0.16 * (i / (len(values) - 1) - 0.5) for i in range(len(values))]
            ax.plot(spread, values, ".", ms=4, color=BLUE, alpha=0.45, label="one draw" if number == 1 else None)
            ax.hlines(median(values), number - 0.2, number + 0.2, BLUE, lw=2.5, label="median" if number == 1 else None)
        ax.plot(layers, PUBLISHED[depth], "x", ms=8, mew=2, color=ORANGE, label="Nielsen")
        ax.set(yscale="log", xticks=list(layers), xlabel="hidden layer", xlim=(0.5, depth + 0.5))
        ax.set_title(f"{depth} hidden layers")
    axes[0].set_ylabel("norm of the biases' gradient")
    axes[-1].legend(loc="lower right")
    return figure


def main(args: Namespace) -> None:
    root = mnist()
    if root is None:
        raise SystemExit("the MNIST files are not here; set GANCORE_DATA to a folder with MNIST/raw")
    images, labels = Mnist(root=str(root)).load()[:IMAGES]
    pixels = images.flatten(1).float() / 255
    measured = {d: [norms(network(d, seed), pixels, labels) for seed in range(SEEDS)] for d in PUBLISHED}
    medians = {d: [median(values) for values in zip(*draws, strict=True)] for d, draws in measured.items()}
    for depth, published in PUBLISHED.items():
        pairs = zip(published, medians[depth], strict=True)
        print(f"L = {depth}: " + ", ".join(f"{old:.4f} -> {new:.4f} ({new / old - 1:+.0%})" for old, new in pairs))
    publish(draw(measured), {"published": PUBLISHED, "median of 20": medians, "draws": measured}, args)


if __name__ == "__main__":
    main(arguments(__doc__))
