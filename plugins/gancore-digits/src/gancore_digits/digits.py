"""Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998, UCI Machine Learning Repository)."""

import csv
import gzip
from importlib.resources import files
from typing import Literal

import torch
from torch.utils.data import TensorDataset

from gancore import DataSpec, component, option

# Sixteen grey levels and white, spread over a byte.
LEVELS = [round(value * 255 / 16) for value in range(17)]


@component
class Digits:
    """Real handwritten digits, embedded.

    Source: E. Alpaydin and C. Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, DOI 10.24432/C50P49, licence CC BY 4.0. This is the test part of that collection: 1,797 grey
    images of 8x8 pixels by 13 writers, 174 to 183 of each digit. Pixels are counts v from 0 to 16, mapped to
    bytes by round(v * 255 / 16).

    The split is ours: samples 4, 9, 14, ... (every fifth, counted from 0) are the test part, 359 of them, and
    the other 1,438 the train part. Writers occur in both.
    """

    split: Literal["all", "train", "test"] = option("all", "All samples, four fifths, or the rest.")

    def spec(self) -> DataSpec:
        return DataSpec((1, 8, 8), classes=10)

    def load(self) -> TensorDataset:
        with (
            files("gancore_digits").joinpath("digits.csv.gz").open("rb") as packed,
            gzip.open(packed, "rt", encoding="ascii", newline="") as text,
        ):
            table = torch.tensor([[int(cell) for cell in row] for row in csv.reader(text)])
        if self.split != "all":
            fifth = torch.arange(len(table)) % 5 == 4
            table = table[fifth if self.split == "test" else ~fifth]
        images = torch.tensor(LEVELS, dtype=torch.uint8)[table[:, :64]]
        return TensorDataset(images.view(-1, 1, 8, 8), table[:, 64].contiguous())
