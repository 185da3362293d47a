import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import Parameter

from gancore_clipping.autoclip import AutoClip


def clip(autoclip: AutoClip, value: float) -> tuple[float, float, float]:
    """What it does to a gradient of one element: the gradient, the limit, whether it clipped."""
    p = Parameter(torch.zeros(1, dtype=torch.float64))
    p.grad = torch.tensor([value], dtype=torch.float64)
    report = autoclip.gradients_ready([p], None)
    assert report["norm"].item() == pytest.approx(abs(value), nan_ok=True)
    return p.grad.item(), report["limit"].item(), report["clipped"].item()


def test_the_first_gradient_is_its_own_percentile():
    assert clip(AutoClip(), 5.0) == (5.0, 5.0, 0.0)


def test_a_gradient_above_the_percentile_is_scaled_down_to_it():
    autoclip = AutoClip(percentile=50.0)
    clip(autoclip, 1.0)
    clip(autoclip, 3.0)
    assert clip(autoclip, -8.0) == (-3.0, 3.0, 1.0)


def test_between_two_norms_the_percentile_is_interpolated():
    autoclip = AutoClip(percentile=10.0)
    clip(autoclip, 1.0)
    gradient, limit, clipped = clip(autoclip, 2.0)
    assert (gradient, limit) == pytest.approx((1.1, 1.1))
    assert clipped == 1.0


@given(norms=st.lists(st.floats(0.01, 100), min_size=1, max_size=12), percentile=st.floats(0, 100))
@settings(max_examples=40, deadline=None)
def test_it_is_numpys_percentile_of_the_last_norms(norms, percentile):
    autoclip = AutoClip(percentile=percentile, window=5)
    for i, norm in enumerate(norms):
        limit = clip(autoclip, norm)[1]
        assert limit == pytest.approx(np.percentile(norms[max(0, i - 4) : i + 1], percentile), rel=1e-5)


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_a_norm_that_is_not_finite_is_neither_clipped_nor_remembered(bad):
    autoclip = AutoClip(percentile=100.0)
    clip(autoclip, 2.0)
    gradient, limit, clipped = clip(autoclip, bad)
    assert gradient == pytest.approx(bad, nan_ok=True)
    assert (limit, clipped) == (2.0, 0.0)
    assert clip(autoclip, 1.0) == (1.0, 2.0, 0.0)


def test_a_first_norm_that_is_not_finite_leaves_no_limit():
    autoclip = AutoClip()
    assert clip(autoclip, torch.inf)[1] == torch.inf
    assert clip(autoclip, 4.0) == (4.0, 4.0, 0.0)


def test_a_restored_one_goes_on_as_if_nothing_had_happened():
    straight, before, after = AutoClip(window=3), AutoClip(window=3), AutoClip(window=3)
    for value in (3.0, 1.0, 4.0, 1.5):
        clip(straight, value)
        clip(before, value)
    after.load_state_dict(before.state_dict())
    assert [clip(after, v) for v in (9.0, 2.0, 6.0)] == [clip(straight, v) for v in (9.0, 2.0, 6.0)]


def test_restoring_into_a_running_one_keeps_its_tensors():
    # A captured graph holds their addresses.
    first, second = AutoClip(), AutoClip()
    clip(first, 1.0)
    clip(second, 7.0)
    address = second.past["norms"].data_ptr()
    second.load_state_dict(first.state_dict())
    assert second.past["norms"].data_ptr() == address
    assert clip(second, 9.0)[1] == pytest.approx(1.8)  # 10th percentile of 1 and 9


def test_a_loaded_state_is_not_shared_with_its_source():
    first, second = AutoClip(), AutoClip()
    clip(first, 1.0)
    second.load_state_dict(first.state_dict())
    clip(second, 7.0)
    assert first.past["seen"].item() == 1


def test_its_state_does_not_grow():
    autoclip = AutoClip(window=4)
    for value in range(1, 20):
        clip(autoclip, float(value))
    assert {name: value.shape for name, value in autoclip.state_dict().items()} == {
        "norms": (4,),
        "seen": (1,),
    }


@pytest.mark.parametrize("options", [{"percentile": -1.0}, {"percentile": 101.0}, {"window": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        AutoClip(**options)
