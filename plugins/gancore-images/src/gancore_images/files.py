"""Which files of a folder are images, in what order, and how a hundred thousand of their names are kept."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

import torch

from gancore import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def natural(name: str) -> tuple[list[str | int], str]:
    """Key for an order that has `a2` before `a10`, the same on every file system and in every locale."""
    parts: list[str | int] = [*re.split(r"(\d+)", name.casefold())]
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, name


def visible(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder, without hidden entries (`.name`), in natural order.

    Raises:
        DataError: there is no such folder, or it may not be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: natural(e.name))
    except OSError as error:
        raise DataError(
            f"{folder}: no folder that can be listed ({error.strerror}); "
            "root under [data] has to name a folder of images"
        ) from error


def is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(EXTENSIONS) and entry.is_file()


def images_below(folder: str, above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Paths of all images in a folder and the folders below it, depth first in natural order.

    Links are followed, except one that leads back to a folder it stands in (`above`, as device and inode).
    """
    entries = visible(folder)
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.is_dir():
            yield from images_below(entry.path, (*above, here))
        elif is_image(entry):
            yield entry.path


class Paths(Sequence[str]):
    """Paths in two blocks of memory.

    As 100,000 Python strings they would cost several times as much, and once more in every worker process:
    looking at a string changes its reference count, and with it the page that was shared until then.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self.text = b"".join(encoded)
        self.ends = torch.tensor([0, *accumulate(map(len, encoded))])

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        # range() does the counting from the end and the bounds check.
        i = range(len(self))[index]
        return os.fsdecode(self.text[int(self.ends[i]) : int(self.ends[i + 1])])
