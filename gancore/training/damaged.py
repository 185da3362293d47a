"""Samples that cannot be read, in a run that was told to do without them."""

from typing import Any

import torch
from torch.utils.data import Dataset

from gancore.errors import DataError

MOST = 100  # damaged samples in a row before the data as a whole are in doubt
WHOLE = -1


class Skipping(Dataset[tuple[Any, ...]]):
    """A data set in which the next sample that can be read takes the place of one that cannot.

    Each sample has one entry more: the first index that was damaged, or WHOLE. The same every time, so that a resumed
    run sees the same.
    """

    def __init__(self, data: "Dataset[Any]") -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)  # type: ignore[arg-type]  # map-style data sets have a length

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        said = ""
        for i in range(MOST):
            try:
                sample = self._data[(index + i) % len(self)]
            except (DataError, OSError) as error:
                said = str(error)
                continue
            return (*sample, torch.tensor(index if i else WHOLE))
        raise DataError(f"{MOST} samples in a row cannot be read; the last: {said}")

    def why(self, index: int) -> str:
        """What is wrong with a damaged sample."""
        try:
            self._data[index]
        except (DataError, OSError) as error:
            return str(error)
        return f"sample {index} could not be read, but can be now"
