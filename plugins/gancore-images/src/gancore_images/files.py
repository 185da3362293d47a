"""Which files of a folder are images, in what order, and how a hundred thousand of their names are kept."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

import torch

from gancore import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

Identities = tuple[tuple[int, int], ...]  # device and inode of folders


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
    return entry.name.lower().endswith(EXTENSIONS) and _leads_to_one(entry.is_file)


def is_folder(entry: os.DirEntry[str]) -> bool:
    return _leads_to_one(entry.is_dir)


def _leads_to_one(kind: Callable[[], bool]) -> bool:
    """A link to itself, or through a folder that may not be entered, leads to nothing."""
    try:
        return kind()
    except OSError:
        return False


def images_below(folder: str) -> Iterator[str]:
    """Paths of all images in a folder and the folders below it, depth first in natural order.

    Links are followed, except one that leads back to a folder it stands in.
    """
    # A stack of our own: folders may be nested deeper than Python lets functions be.
    entered = [_entered(folder, ())]
    while entered:
        entries, inside = entered[-1]
        for entry in entries:
            if is_folder(entry):
                entered.append(_entered(entry.path, inside))
                break
            if is_image(entry):
                yield entry.path
        else:
            entered.pop()


def _entered(folder: str, above: Identities) -> tuple[Iterator[os.DirEntry[str]], Identities]:
    """What is left to be looked at in a folder, nothing where it is one of those above; and those it is in, with it."""
    entries = visible(folder)
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    return iter(() if here in above else entries), (*above, here)


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
