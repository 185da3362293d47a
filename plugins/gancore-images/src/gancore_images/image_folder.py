"""A folder of pictures, as it comes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from gancore import DataError, DataSpec, component, ge, option, required
from gancore_images.decode import Channels, decode
from gancore_images.files import EXTENSIONS, Paths, images_below, is_folder, is_image, visible


@component
class ImageFolder:
    """All images in a folder and the folders below it: jpg, jpeg, png, webp, bmp, gif, tif, tiff.

    Sizes and modes may be mixed. Each image is turned upright (EXIF), laid over white where it is
    transparent, resized so that its shorter side is `size` (Lanczos, antialiased), and its centre is cut out.
    16-bit grey becomes 8-bit; CMYK becomes RGB without colour profiles. Files come in natural order (2 before
    10); names that start with a dot are ignored. Images are decoded when they are asked for, by the workers
    of a data loader, unless `resident`.

    With `labels` the classes are the folders directly in `root`, numbered in natural order, and `spec` has to
    look at `root` to count them.
    """

    root: str = required("Folder of the images; searched with all folders below it.")
    size: int = option(64, "Side of the square images in pixels.", ge(1))
    channels: Channels = option("rgb", "Colour, or luminance only.")
    labels: bool = option(False, "Label each image with the folder directly in root that it is under.")
    resident: bool = option(False, "Decode everything once and keep it in memory; for small folders.")

    def spec(self) -> DataSpec:
        shape = (3 if self.channels == "rgb" else 1, self.size, self.size)
        return DataSpec(shape, classes=len(self._classes()) if self.labels else 0)

    def load(self) -> "Dataset[Any]":
        folders = self._classes() if self.labels else [self._folder()]
        found = [list(images_below(folder)) for folder in folders]
        for folder, images in zip(folders, found, strict=True):
            if not images:
                raise DataError(
                    f"{folder}: no images in it or below it; looked for {' '.join(EXTENSIONS)} "
                    "(names that start with a dot do not count)"
                )
        paths = Paths(path for images in found for path in images)
        counts = torch.tensor([len(images) for images in found])
        labels = torch.arange(len(found)).repeat_interleave(counts) if self.labels else None
        stream = DecodedImages(paths, labels, self.size, self.channels)
        return stream.resident() if self.resident else stream

    def _folder(self) -> str:
        # Absolute, because a worker process may stand elsewhere.
        return str(Path(self.root).expanduser().absolute())

    def _classes(self) -> list[str]:
        entries = visible(self._folder())
        if loose := [entry.name for entry in entries if is_image(entry)]:
            raise DataError(
                f"{self._folder()}: labels = true takes labels from folders, but these images are in none: "
                f"{', '.join(loose[:3])}{f' and {len(loose) - 3} more' if len(loose) > 3 else ''}"
            )
        folders = [entry.path for entry in entries if is_folder(entry)]
        if not folders:
            raise DataError(f"{self._folder()}: labels = true needs one folder per class in it, and there is none")
        return folders


class DecodedImages(Dataset[tuple[Tensor, ...]]):
    """Decodes image i when it is asked for: `(uint8 (C, size, size),)`, or that with its int64 label."""

    def __init__(self, paths: Paths, labels: Tensor | None, size: int, channels: Channels) -> None:
        self.paths, self.labels, self.size, self.channels = paths, labels, size, channels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        image = decode(self.paths[index], self.size, self.channels)
        return (image,) if self.labels is None else (image, self.labels[index])

    def resident(self) -> TensorDataset:
        """The same, decoded now."""
        first = self[0][0]
        images = first.new_empty(len(self), *first.shape)
        for i, path in enumerate(self.paths):
            images[i] = decode(path, self.size, self.channels)
        return TensorDataset(images) if self.labels is None else TensorDataset(images, self.labels)
