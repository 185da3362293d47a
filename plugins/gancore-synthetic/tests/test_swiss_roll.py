"""The swiss roll: the curve, the noise around it, its scale."""

import math

import pytest
import torch

from gancore import DataSpec
from gancore_synthetic.swiss_roll import SwissRoll


def test_spec_has_no_labels_and_no_bounds():
    assert SwissRoll().spec() == DataSpec((2,), classes=0, range=None)


def test_load_gives_float32_points_without_labels():
    (values,) = SwissRoll(samples=1000).load().tensors
    assert (values.shape, values.dtype) == ((1000, 2), torch.float32)


def test_without_noise_every_sample_lies_on_the_spiral():
    (values,) = SwissRoll(noise=0.0, samples=2000).load().tensors
    x, y = (values.double() * 7.5).unbind(1)
    t = torch.hypot(x, y)
    # On the curve the radius is the angle: t from 3/2 pi to 9/2 pi.
    assert float(t.min()) >= 1.5 * math.pi - 1e-5
    assert float(t.max()) <= 4.5 * math.pi + 1e-5
    torch.testing.assert_close(x, t * t.cos(), atol=2e-5, rtol=0)
    torch.testing.assert_close(y, t * t.sin(), atol=2e-5, rtol=0)


def test_angle_is_uniform():
    (values,) = SwissRoll(noise=0.0, samples=40_000).load().tensors
    u = (values.double().norm(dim=1) * 7.5 / (1.5 * math.pi) - 1) / 2
    # Standard error of the mean of U(0, 1): 0.2887 / 200 = 1.4e-3.
    assert float(u.mean()) == pytest.approx(0.5, abs=7e-3)
    assert float(u.std()) == pytest.approx(math.sqrt(1 / 12), abs=4e-3)


def test_noise_is_divided_by_the_scale_too():
    noisy, clean = (SwissRoll(noise=noise, samples=40_000).load().tensors[0] for noise in (0.75, 0.0))
    assert (noisy - clean).std(0).tolist() == pytest.approx([0.1, 0.1], abs=1.8e-3)


def test_same_seed_same_bytes_other_seed_other_samples():
    first, again, other = (SwissRoll(samples=100, seed=seed).load().tensors[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("wrong", [{"noise": -0.1}, {"samples": 0}, {"seed": -1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SwissRoll(**wrong)
