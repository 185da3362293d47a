"""Resizing and padding a whole data set."""

import torch
from gancore_images.resize import CHUNK, padded, resized
from torch.nn.functional import interpolate
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

RNG = torch.Generator().manual_seed(0)


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=RNG)


def test_same_size_is_the_same():
    images = noise(3, 1, 8, 8)
    assert torch.equal(resized(images, 8), images)


def test_flat_images_stay_flat():
    images = torch.full((2, 3, 28, 28), 200, dtype=torch.uint8)
    assert torch.equal(resized(images, 32), torch.full((2, 3, 32, 32), 200, dtype=torch.uint8))


def test_shrinking_agrees_with_pillow_within_one_level():
    images = noise(4, 1, 28, 28)
    expected = torch.stack([pil_to_tensor(to_pil_image(image).resize((12, 12), 3)) for image in images])
    assert (resized(images, 12).int() - expected.int()).abs().max() <= 1


def test_growing_agrees_with_float64_within_one_level():
    images = noise(2, 3, 16, 16)
    exact = interpolate(images.double(), size=(20, 20), mode="bicubic", antialias=True).clamp(0, 255)
    assert (resized(images, 20).double() - exact).abs().max() <= 1


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
