"""A picture of a batch of samples: images in a grid, vectors as a scatter plot over reals."""

from pathlib import Path
from typing import TYPE_CHECKING

from gancore.contracts import DataSpec

if TYPE_CHECKING:
    from torch import Tensor

MIN_SIDE = 512  # pixels: smaller pictures are enlarged, whole pixels at a time, so that 8x8 digits can be seen
PLOT_SIDE = 300  # pixels of a scatter plot, each drawn as 2 x 2
GREY, BLUE = (190, 190, 190), (31, 90, 180)


def picture(samples: "Tensor", data: DataSpec, reals: "Tensor | None" = None) -> "Tensor":
    """uint8 `(3, H, W)`: images in a near-square grid, or vectors by their first two coordinates (fakes blue).

    Args:
        samples: `(N, *shape)` in the data's range.
        reals: vectors to plot underneath, which also fix the scale; ignored for images.
    """
    import torch
    from torchvision.utils import make_grid

    samples = samples.detach().float().cpu()
    if not data.is_image:
        return _scatter(samples, samples if reals is None else reals.detach().float().cpu())
    low, high = data.range or (float(samples.min()), float(samples.max()))
    images = ((samples - low) / (high - low)).clamp(0, 1)
    images = images[:, :3] if images.shape[1] >= 3 else images[:, :1]  # RGBA without its A
    columns = -(-len(images) // max(1, round(len(images) ** 0.5)))
    grid: Tensor = make_grid(images, nrow=columns, padding=1 if images.shape[-1] < 32 else 2, pad_value=1.0)
    zoom = -(-MIN_SIDE // max(grid.shape[-2:]))
    return grid.mul(255).round().to(torch.uint8).repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)


def save(picture: "Tensor", file: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    from PIL import Image

    temporary = file.with_name(f".{file.name}.tmp")
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(temporary, format="png")
    temporary.replace(file)


def _scatter(samples: "Tensor", reals: "Tensor") -> "Tensor":
    import torch

    plane = [torch.nn.functional.pad(points, (0, max(0, 2 - points.shape[1])))[:, :2] for points in (reals, samples)]
    low, high = plane[0].amin(0), plane[0].amax(0)
    margin = 0.1 * (high - low).clamp(min=1e-6)
    low, high = low - margin, high + margin
    canvas = torch.full((3, PLOT_SIDE, PLOT_SIDE), 255, dtype=torch.uint8)
    for points, colour in zip(plane, (GREY, BLUE), strict=True):
        at = ((points - low) / (high - low) * (PLOT_SIDE - 1)).round()
        at = at[((at >= 0) & (at < PLOT_SIDE)).all(1)].long()
        for channel, value in enumerate(colour):
            canvas[channel, PLOT_SIDE - 1 - at[:, 1], at[:, 0]] = value
    return canvas.repeat_interleave(2, 1).repeat_interleave(2, 2)
