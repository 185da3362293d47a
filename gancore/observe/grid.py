"""A picture of a batch of samples: images in a grid, vectors as a scatter plot."""

from typing import TYPE_CHECKING

from gancore.contracts import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

MIN_SIDE = 256  # pixels: smaller pictures are enlarged, whole pixels at a time, so that 8x8 digits can be seen
PLOT_SIDE = 256


def picture(samples: "Tensor", data: DataSpec, reals: "Tensor | None" = None) -> "Tensor":
    """uint8 `(3, H, W)`: images in a near-square grid, or the first two coordinates of vectors (reals grey, fakes
    blue).

    Args:
        samples: `(N, *shape)` in the data's range.
        reals: vectors to plot underneath; ignored for images.
    """
    import torch
    from torchvision.utils import make_grid

    samples = samples.detach().float().cpu()
    if not data.is_image:
        return _scatter(samples, reals)
    low, high = data.range or (float(samples.min()), float(samples.max()))
    images = ((samples - low) / (high - low)).clamp(0, 1)
    images = images[:, :3] if images.shape[1] >= 3 else images[:, :1]  # RGBA without its A
    side = round(len(images) ** 0.5) or 1
    grid: Tensor = make_grid(
        images, nrow=-(-len(images) // side), padding=1 if images.shape[-1] < 32 else 2, pad_value=1.0
    )
    zoom = -(-MIN_SIDE // max(grid.shape[-2:]))
    return grid.mul(255).round().to(torch.uint8).repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)


def _scatter(samples: "Tensor", reals: "Tensor | None") -> "Tensor":
    """Points of the plane: a picture of PLOT_SIDE pixels, scaled to the reals (or the samples)."""
    import torch

    canvas = torch.full((3, PLOT_SIDE, PLOT_SIDE), 255, dtype=torch.uint8)
    reference = samples if reals is None else reals.detach().float().cpu()
    plane = [x[:, :2] if x.shape[1] > 1 else torch.cat([x, torch.zeros_like(x)], 1) for x in (reference, samples)]
    low, high = plane[0].amin(0), plane[0].amax(0)
    margin = 0.1 * (high - low).clamp(min=1e-6)
    low, high = low - margin, high + margin
    for points, colour in zip(
        plane if reals is not None else plane[1:],
        ((190, 190, 190), (31, 90, 180))[-1 - (reals is not None) :],
        strict=True,
    ):
        at = ((points - low) / (high - low) * (PLOT_SIDE - 1)).round().long()
        at = at[((at >= 0) & (at < PLOT_SIDE)).all(1)]
        for channel, value in enumerate(colour):
            canvas[channel, PLOT_SIDE - 1 - at[:, 1], at[:, 0]] = value
    return canvas.repeat_interleave(2, 1).repeat_interleave(2, 2)
