"""CIFAR-10 (Krizhevsky 2009, Learning multiple layers of features from tiny images)."""

import warnings
from pathlib import Path
from typing import Literal

import torch
import torchvision.datasets
from attrs.validators import optional
from torch.utils.data import TensorDataset

from gancore import DataError, DataSpec, component, ge, option
from gancore_images.download import fetch
from gancore_images.resize import resized


@component
class Cifar10:
    """Tiny photographs (Krizhevsky 2009, Learning multiple layers of features from tiny images, section 3.1).

    50,000 colour training images of 32x32 pixels and 10,000 for testing; labels 0 to 9 (airplane, automobile,
    bird, cat, deer, dog, frog, horse, ship, truck). Files are looked for in `root`/cifar-10-batches-py. They
    are pickles: torchvision opens them only if their md5 is that of the originals.
    """

    root: str = option("data", "Folder that holds cifar-10-batches-py, or is to.")
    download: bool = option(False, "Download what is missing, or unpack cifar-10-python.tar.gz if it is in root.")
    split: Literal["train", "test"] = option("train", "Which samples.")
    size: int | None = option(None, "Side of the images in pixels; unset: 32.", optional(ge(1)))

    def spec(self) -> DataSpec:
        side = self.size or 32
        return DataSpec((3, side, side), classes=10)

    def load(self) -> TensorDataset:
        root, train = Path(self.root).expanduser().absolute(), self.split == "train"
        # NumPy warns about the way in which these pickles of 2009 were written.
        with warnings.catch_warnings(action="ignore"):
            if self.download:
                source = fetch(torchvision.datasets.CIFAR10, root, train=train)
            else:
                try:
                    source = torchvision.datasets.CIFAR10(root, train=train)
                except RuntimeError as error:
                    raise DataError(
                        f"{root / 'cifar-10-batches-py'} does not hold the six original batches of CIFAR-10; "
                        "set download = true under [data], or put the files there"
                    ) from error
        images = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
        if self.size is not None:
            images = resized(images, self.size)
        return TensorDataset(images, torch.tensor(source.targets))
