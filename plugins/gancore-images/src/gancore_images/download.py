"""Downloads by torchvision, with failures in our words."""

import zlib
from pathlib import Path
from typing import TypeVar

from torchvision.datasets import VisionDataset

from gancore import DataError

V = TypeVar("V", bound=VisionDataset)


def fetch(source: type[V], root: Path, *, train: bool) -> V:
    """Let torchvision fetch, verify (md5) and unpack a data set, if it is not there already, and load it.

    Raises:
        DataError: no network, no space, no permission, or what came is not what it should be.
    """
    try:
        loaded: V = source(root, train=train, download=True)
    # URLError and time-outs are OSErrors; torchvision raises RuntimeError for a wrong checksum.
    except (OSError, RuntimeError, EOFError, zlib.error) as error:
        raise DataError(
            f"{source.__name__} could not be downloaded to {root}: {error}\n"
            "Check the network and the folder, or get the files elsewhere and put them there."
        ) from error
    return loaded
