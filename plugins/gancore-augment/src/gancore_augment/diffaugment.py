"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from gancore import ComponentError, Context, component, ge, le, min_len, option


@component
class DiffAugment:
    """Differentiable augmentation of all that D sees (Zhao et al. 2020, arXiv:2006.10738, equations 3 and 4).

    Drawn anew for every sample, applied in the order of `policy`:

        color        brightness x + U(-1/2, 1/2),
                     saturation m + U(0, 2) (x - m) about each pixel's mean m over channels,
                     contrast m + U(1/2, 3/2) (x - m) about the image's mean m
        translation  by whole pixels up to a share of the side, zeros moving in
        cutout       a square of a share of the side set to 0, centred anywhere, so it may stick out

    Strengths are those of the authors' code, for images in [-1, 1]. Saturation does nothing to a single
    channel. An alpha channel is treated as a colour.
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    policy: tuple[Literal["color", "translation", "cutout"], ...] = option(
        ("color", "translation", "cutout"), "What is done, in this order.", min_len(1)
    )
    translation: float = option(0.125, "Largest shift as a share of the side.", ge(0), le(1))
    cutout: float = option(0.5, "Side of the hole as a share of the image's.", ge(0), le(1))

    def discriminator_inputs(self, x: Tensor, context: Context) -> Tensor:
        """`(N, C, H, W)` to the same.

        Raises:
            gancore.ComponentError: x are not images.
        """
        if x.dim() != 4:
            raise ComponentError(
                f"diffaugment: made for images (C, H, W), but the data are of shape {tuple(x.shape[1:])}. "
                "Remove the regularizer; instance-noise works on vectors."
            )
        for change in self.policy:
            if change == "color":
                x = _color(x, context.rng)
            elif change == "translation":
                x = _translate(x, self.translation, context.rng)
            else:
                x = _cut_out(x, self.cutout, context.rng)
        return x


def _color(x: Tensor, rng: torch.Generator) -> Tensor:
    u = torch.rand(3, len(x), 1, 1, 1, generator=rng, device=x.device, dtype=x.dtype)
    brightness, saturation, contrast = u[0] - 0.5, 2 * u[1], u[2] + 0.5
    x = x + brightness
    grey = x.mean(1, keepdim=True)
    x = grey + saturation * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (x - mean)


def _translate(x: Tensor, ratio: float, rng: torch.Generator) -> Tensor:
    n, channels, height, width = x.shape
    most_y, most_x = round(ratio * height), round(ratio * width)
    # Every pixel is read at most once, so that gather's backward adds nothing up: the same bits every time.
    x = pad(x, (most_x, most_x, most_y, most_y))
    rows = _window(n, height, most_y, x, rng).view(n, 1, height, 1)
    columns = _window(n, width, most_x, x, rng).view(n, 1, 1, width)
    x = x.gather(2, rows.expand(-1, channels, -1, x.shape[3]))
    return x.gather(3, columns.expand(-1, channels, height, -1))


def _window(n: int, size: int, most: int, x: Tensor, rng: torch.Generator) -> Tensor:
    """Which `size` of the `size + 2 most` places of the padded side each sample shows: `(n, size)`."""
    first = torch.randint(2 * most + 1, (n, 1), generator=rng, device=x.device)
    return first + torch.arange(size, device=x.device)


def _cut_out(x: Tensor, ratio: float, rng: torch.Generator) -> Tensor:
    n, _, height, width = x.shape
    rows = _hole(n, height, ratio, x, rng).view(n, 1, height, 1)
    columns = _hole(n, width, ratio, x, rng).view(n, 1, 1, width)
    return x * ~(rows & columns)


def _hole(n: int, size: int, ratio: float, x: Tensor, rng: torch.Generator) -> Tensor:
    """Which places of a side the hole covers in each sample: `(n, size)`, bool."""
    hole = round(ratio * size)
    # The centre is a pixel for odd holes and a line between pixels, the two borders included, for even ones.
    first = torch.randint(size + 1 - hole % 2, (n, 1), generator=rng, device=x.device) - hole // 2
    place = torch.arange(size, device=x.device)
    return (place >= first) & (place < first + hole)
