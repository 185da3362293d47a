"""The grid: where its modes are and what is drawn around them."""

import pytest
import torch

from gancore import DataSpec
from gancore_synthetic.grid import Grid
from gancore_synthetic.mixtures import grid_centres


def test_default_centres_are_the_even_numbers_from_minus_four_to_four_squared():
    ticks = (-4.0, -2.0, 0.0, 2.0, 4.0)
    assert set(map(tuple, grid_centres(5, 2.0).tolist())) == {(x, y) for x in ticks for y in ticks}


def test_centres_run_row_by_row_from_the_lower_left():
    assert grid_centres(2, 1.0).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]


def test_spec_has_one_class_a_mode_and_no_bounds():
    assert Grid().spec() == DataSpec((2,), classes=25, range=None)


def test_load_gives_float32_points_with_their_modes():
    values, labels = Grid(samples=1000).load().tensors
    assert (values.shape, values.dtype) == ((1000, 2), torch.float32)
    assert (labels.shape, labels.dtype) == ((1000,), torch.int64)
    assert labels.unique().tolist() == list(range(25))


def test_samples_lie_around_the_centre_of_their_label():
    values, labels = Grid(samples=40_000).load().tensors
    noise = values - grid_centres(5, 2.0)[labels]
    # Standard errors at sigma 0.05: 2.5e-4 of the mean, 1.8e-4 of the deviation.
    assert noise.mean(0).tolist() == pytest.approx([0, 0], abs=1.3e-3)
    assert noise.std(0).tolist() == pytest.approx([0.05, 0.05], abs=9e-4)


def test_same_seed_same_bytes_other_seed_other_samples():
    first, again, other = (Grid(samples=100, seed=seed).load().tensors[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("wrong", [{"side": 0}, {"spacing": 0.0}, {"sigma": -0.1}, {"samples": 0}, {"seed": -1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Grid(**wrong)
