"""A whole data set to another size, once, when it is loaded."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

# The float copies inside the resampling are of one chunk only.
CHUNK = 1024


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 `(N, C, H, W)` to `(N, C, size, size)`, bicubic, antialiased where it shrinks."""
    if images.shape[2:] == (size, size):
        return images
    out = images.new_empty(*images.shape[:2], size, size)
    for small, large in zip(torch.split(images, CHUNK), torch.split(out, CHUNK), strict=True):
        exact = interpolate(small.float(), size=(size, size), mode="bicubic", antialias=True)
        large.copy_(exact.round_().clamp_(0, 255))
    return out


def padded(images: Tensor, size: int) -> Tensor:
    """uint8 `(N, C, H, W)` to `(N, C, size, size)` with a black border, an odd rest right and below."""
    height, width = size - images.shape[2], size - images.shape[3]
    return pad(images, (width // 2, width - width // 2, height // 2, height - height // 2))
