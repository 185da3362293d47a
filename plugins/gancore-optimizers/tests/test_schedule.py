"""Learning-rate schedules: the closed form, and what torch makes of it."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore_optimizers.adam import Adam
from gancore_optimizers.schedule import Scheduled
from gancore_optimizers.sgd import Sgd

COSINE_EIGHTH = (1 + math.sqrt(0.5)) / 2  # after a quarter of the way: (1 + cos 45 degrees) / 2


@pytest.mark.parametrize(
    ("options", "factors"),  # after 0, 25, 50 and 100 of 100 steps
    [
        ({}, (1, 1, 1, 1)),
        ({"final": 0.5}, (1, 1, 1, 1)),
        ({"lr_schedule": "linear"}, (1, 0.75, 0.5, 0)),
        ({"lr_schedule": "linear", "final": 0.2}, (1, 0.8, 0.6, 0.2)),
        ({"lr_schedule": "cosine"}, (1, COSINE_EIGHTH, 0.5, 0)),
        ({"lr_schedule": "cosine", "final": 0.2}, (1, 0.2 + 0.8 * COSINE_EIGHTH, 0.6, 0.2)),
        ({"lr_schedule": "cosine", "final": 1.0}, (1, 1, 1, 1)),
    ],
    ids=str,
)
def test_factor_at_the_start_on_the_way_and_at_the_end(options, factors):
    scheduled = Scheduled(**options)
    found = [scheduled.factor(t, 100) for t in (0, 25, 50, 100)]
    assert found == pytest.approx(factors, abs=1e-15)


def test_warmup_rises_from_near_zero_and_then_the_schedule_starts():
    scheduled = Scheduled(lr_schedule="linear", warmup=4)
    found = [scheduled.factor(t, 14) for t in (0, 1, 2, 3, 4, 5, 9, 14)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.9, 0.5, 0], abs=1e-15)


def test_warmup_alone_ends_at_the_full_rate():
    assert [Scheduled(warmup=2).factor(t, 100) for t in (0, 1, 2, 100)] == [0.5, 1, 1, 1]


def test_run_shorter_than_its_warmup_stays_in_it():
    assert [Scheduled(lr_schedule="cosine", warmup=10).factor(t, 4) for t in (0, 4)] == [0.1, 0.5]


def test_after_the_last_step_the_rate_stays_final():
    assert Scheduled(lr_schedule="cosine", final=0.25).factor(130, 100) == pytest.approx(0.25)
    assert Scheduled(lr_schedule="linear", final=0.25).factor(130, 100) == 0.25


@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from(["constant", "linear", "cosine"]),
    warmup=st.integers(0, 50),
    final=st.floats(0, 1),
    steps=st.integers(1, 200),
)
def test_rate_stays_within_its_bounds_and_never_rises_after_the_warmup(kind, warmup, final, steps):
    scheduled = Scheduled(lr_schedule=kind, warmup=warmup, final=final)
    after = [scheduled.factor(t, steps) for t in range(warmup, steps + 1)]
    assert all(0 < scheduled.factor(t, steps) <= 1 for t in range(warmup))
    assert all(final - 1e-12 <= factor <= 1 + 1e-12 for factor in after)
    assert all(b <= a + 1e-12 for a, b in pairwise(after))


# ------------------------------------------------------------------------------------------------- with torch


def stepping(optimizer, plan):
    optimizer.step()
    plan.step()
    return optimizer.param_groups[0]["lr"]


def built(component, steps, x=None):
    x = torch.nn.Parameter(torch.ones(2)) if x is None else x
    x.grad = torch.ones(2)
    optimizer = component.build([x], lazy=1.0)
    return optimizer, component.schedule(optimizer, steps)


def test_torch_applies_the_factor_to_the_learning_rate():
    optimizer, plan = built(Sgd(lr=0.5, lr_schedule="linear", warmup=2), 6)
    rates = [optimizer.param_groups[0]["lr"], *(stepping(optimizer, plan) for _ in range(6))]
    assert rates == pytest.approx([0.25, 0.5, 0.5, 0.375, 0.25, 0.125, 0])


def test_the_lazy_factor_is_part_of_the_base_rate():
    component = Sgd(lr=0.5, lr_schedule="linear")
    optimizer = component.build([torch.nn.Parameter(torch.ones(1))], lazy=0.5)
    plan = component.schedule(optimizer, 2)
    assert [optimizer.param_groups[0]["lr"], stepping(optimizer, plan)] == [0.25, 0.125]


def test_a_resumed_run_with_more_steps_follows_the_new_plan():
    component = Adam(lr=1.0, lr_schedule="cosine")
    optimizer, plan = built(component, 4)
    for _ in range(3):
        stepping(optimizer, plan)
    resumed, longer = built(component, 12)
    resumed.load_state_dict(optimizer.state_dict())
    longer.load_state_dict(plan.state_dict())
    # After 4 of 12 steps: (1 + cos 60 degrees) / 2. The old plan would be at 0.
    assert stepping(resumed, longer) == pytest.approx(0.75)


def test_state_of_the_schedule_holds_no_plan():
    _, plan = built(Adam(lr_schedule="cosine", warmup=3, final=0.1), 7)
    state = plan.state_dict()
    assert (state["lr_lambdas"], state["last_epoch"], state["base_lrs"]) == ([None], 0, [2e-4])
    assert 7 not in state.values()


@pytest.mark.parametrize(
    "options", [{"warmup": -1}, {"final": -0.1}, {"final": 1.5}], ids=lambda options: next(iter(options))
)
def test_an_option_out_of_range_is_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Scheduled(**options)
