"""The digits data set: what is in it, how its pixels are scaled, how it is split."""

import subprocess
import sys
from importlib import import_module

import pytest
import torch

import gancore_digits
from gancore import DataSpec
from gancore_digits.digits import Digits


def test_offers_import():
    for offer in gancore_digits.gancore_datasets():
        module, name = offer.target.split(":")
        assert callable(getattr(import_module(module), name).load)


def test_listing_does_not_import_torch():
    code = "import sys, gancore_digits; gancore_digits.gancore_datasets(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_spec_is_what_load_returns():
    images, labels = Digits().load().tensors
    assert Digits().spec() == DataSpec((1, 8, 8), classes=10, range=(-1.0, 1.0))
    assert (images.shape, images.dtype) == ((1797, 1, 8, 8), torch.uint8)
    assert (labels.shape, labels.dtype) == ((1797,), torch.int64)


def test_first_image_is_the_zero_of_the_first_row_of_the_file():
    image, label = Digits().load()[0]
    # The row starts 0,0,5,13,9,1,0,0 and its counts v become round(v * 255 / 16).
    assert image[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert label == 0


def test_pixels_use_exactly_the_seventeen_levels():
    images, _ = Digits().load().tensors
    levels = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert images.unique().tolist() == levels


def test_counts_per_digit():
    _, labels = Digits().load().tensors
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_pixel_sum_of_the_whole_set_is_that_of_the_original_file():
    images, _ = Digits().load().tensors
    counts = (images.double() * 16 / 255).round().sum()
    assert counts == 561718


def test_every_fifth_sample_is_test_and_the_others_are_train():
    whole, train, test = (Digits(split=split).load() for split in ("all", "train", "test"))
    assert (len(train), len(test)) == (1438, 359)
    for index, source in enumerate([0, 1, 2, 3, 5, 6]):
        assert torch.equal(train[index][0], whole[source][0])
    for index, source in enumerate([4, 9, 14]):
        assert torch.equal(test[index][0], whole[source][0])


@pytest.mark.parametrize("split", ["all", "train", "test"])
def test_the_same_bytes_every_time(split):
    first, second = Digits(split=split).load().tensors, Digits(split=split).load().tensors
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
