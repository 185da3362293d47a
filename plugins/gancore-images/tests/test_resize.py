"""Resizing and padding a whole data set."""

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from gancore_images.resize import CHUNK, padded, resized

RNG = torch.Generator().manual_seed(0)


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=RNG)


def test_same_size_is_the_same():
    images = noise(3, 1, 8, 8)
    assert torch.equal(resized(images, 8), images)


def test_flat_images_stay_flat():
    images = torch.full((2, 3, 28, 28), 200, dtype=torch.uint8)
    assert torch.equal(resized(images, 32), torch.full((2, 3, 32, 32), 200, dtype=torch.uint8))


@pytest.mark.parametrize("size", [12, 32, 64])
def test_agrees_with_pillow_within_one_level(size):
    # Grey enough that nothing overshoots: Pillow clips between the two directions, which is less exact.
    images = noise(4, 3, 28, 28) // 2 + 64
    pictures = [to_pil_image(image).resize((size, size), Image.Resampling.BICUBIC) for image in images]
    expected = torch.stack([pil_to_tensor(picture) for picture in pictures])
    assert (resized(images, size).int() - expected.int()).abs().max() <= 1


def test_overshoot_is_clipped_and_does_not_wrap_around():
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    row = resized(edge, 16)[0, 0, 0].tolist()
    assert (row[0], row[-1]) == (0, 255)
    assert row == sorted(row)


def test_sets_of_several_chunks_keep_their_order():
    levels = torch.arange(2 * CHUNK + 10) % 256
    images = levels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    assert torch.equal(resized(images, 2)[:, 0, 1, 1].long(), levels)


def test_padding_puts_the_odd_rest_right_and_below():
    one = torch.full((1, 1, 1, 1), 9, dtype=torch.uint8)
    assert padded(one, 4)[0, 0].tolist() == [[0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_padding_by_nothing_is_the_same():
    images = noise(2, 1, 28, 28)
    assert torch.equal(padded(images, 28), images)
