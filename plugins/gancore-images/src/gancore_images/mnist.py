"""MNIST (LeCun et al. 1998, Gradient-based learning applied to document recognition)."""

from pathlib import Path
from typing import ClassVar, Literal

import torchvision.datasets
from attrs.validators import optional
from torch.utils.data import TensorDataset

from gancore import DataError, DataSpec, component, ge, option
from gancore_images.download import fetch
from gancore_images.idx import find_idx, read_idx
from gancore_images.resize import padded, resized

PREFIX = {"train": "train", "test": "t10k"}


def _pad_needs_room(mnist: "Mnist", _: object, fit: str) -> None:
    if fit == "pad" and (mnist.size is None or mnist.size < 28):
        raise ValueError('fit = "pad" needs a size of 28 or more: it adds a border and takes nothing away')


@component
class Mnist:
    """Handwritten digits (LeCun et al. 1998, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86(11), 2278-2324).

    60,000 grey training images of 28x28 pixels and 10,000 for testing; labels 0 to 9. Files are looked for in
    `root`/MNIST/raw, as torchvision lays them out, unpacked or as the original `.gz`; they are only read.
    Just the two files of the split are needed.
    """

    root: str = option("data", "Folder that holds MNIST/raw, or is to.")
    download: bool = option(False, "Download what is missing.")
    split: Literal["train", "test"] = option("train", "Which samples.")
    size: int | None = option(None, "Side of the images in pixels; unset: 28.", optional(ge(1)))
    fit: Literal["resize", "pad"] = option(
        "resize",
        "How to get to size: resample, or add a black border (28 to 32 without blur).",
        _pad_needs_room,
    )

    source: ClassVar[type[torchvision.datasets.MNIST]] = torchvision.datasets.MNIST

    def spec(self) -> DataSpec:
        side = self.size or 28
        return DataSpec((1, side, side), classes=10)

    def load(self) -> TensorDataset:
        root = Path(self.root).expanduser().absolute()
        folder = root / self.source.__name__ / "raw"
        names = [f"{PREFIX[self.split]}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
        if self.download and None in [find_idx(folder, name) for name in names]:
            fetch(self.source, root, train=self.split == "train")
        found = [path for name in names if (path := find_idx(folder, name))]
        if len(found) < len(names):
            raise DataError(
                f"{folder} does not hold {names[0]} and {names[1]}, as they are or with .gz; "
                "set download = true under [data], or put the files there"
            )
        images, labels = (read_idx(path) for path in found)
        if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or labels.max() > 9:
            raise DataError(
                f"{folder}: {names[0]} {tuple(images.shape)} and {names[1]} {tuple(labels.shape)} are "
                "not 28x28 images with one label 0 to 9 each; delete them and get them again"
            )
        images = images[:, None]
        if self.size is not None:
            images = (padded if self.fit == "pad" else resized)(images, self.size)
        return TensorDataset(images, labels.long())
