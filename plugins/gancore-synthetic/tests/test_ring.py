"""The ring: where its modes are and what is drawn around them."""

import math

import pytest
import torch

from gancore import DataSpec
from gancore_synthetic.mixtures import ring_centres
from gancore_synthetic.ring import Ring


def test_centres_of_four_modes_are_the_ends_of_the_axes():
    expected = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
    torch.testing.assert_close(ring_centres(4, 2.0), expected, atol=1e-6, rtol=0)


def test_second_centre_of_eight_lies_on_the_diagonal():
    assert ring_centres(8, 1.0)[1].tolist() == pytest.approx([math.sqrt(0.5), math.sqrt(0.5)], abs=1e-7)


def test_spec_has_one_class_a_mode_and_no_bounds():
    assert Ring(modes=6).spec() == DataSpec((2,), classes=6, range=None)


def test_load_gives_float32_points_with_their_modes():
    values, labels = Ring(samples=1000).load().tensors
    assert (values.shape, values.dtype) == ((1000, 2), torch.float32)
    assert (labels.shape, labels.dtype) == ((1000,), torch.int64)
    assert labels.unique().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_without_noise_every_sample_is_the_centre_of_its_label():
    values, labels = Ring(modes=5, radius=3.0, sigma=0.0, samples=200).load().tensors
    assert torch.equal(values, ring_centres(5, 3.0)[labels])


def test_modes_are_equally_likely():
    _, labels = Ring(samples=80_000).load().tensors
    # 10,000 expected in each, standard deviation sqrt(80,000 / 8 * 7 / 8) = 94.
    assert all(abs(count - 10_000) < 470 for count in labels.bincount().tolist())


def test_noise_has_mean_zero_and_deviation_sigma_in_each_coordinate():
    values, labels = Ring(sigma=0.1, samples=40_000).load().tensors
    noise = values - ring_centres(8, 1.0)[labels]
    # Standard errors: 0.1 / sqrt(40,000) = 5e-4 of the mean, 3.5e-4 of the deviation.
    assert noise.mean(0).tolist() == pytest.approx([0, 0], abs=2.5e-3)
    assert noise.std(0).tolist() == pytest.approx([0.1, 0.1], abs=1.8e-3)


def test_same_seed_same_bytes_other_seed_other_samples():
    first, again, other = (Ring(samples=100, seed=seed).load().tensors[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_drawing_leaves_torchs_global_generator_alone():
    before = torch.get_rng_state()
    Ring(samples=10).load()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [{"modes": 0}, {"radius": 0.0}, {"sigma": -0.1}, {"samples": 0}, {"seed": -1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Ring(**wrong)
