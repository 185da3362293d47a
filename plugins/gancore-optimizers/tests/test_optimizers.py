"""What every optimizer here keeps to: lowering a quadratic, lazy correction, resuming bit by bit."""

import pytest
import torch
from torch import nn

from gancore_optimizers.adam import Adam
from gancore_optimizers.adamw import AdamW
from gancore_optimizers.rmsprop import RmsProp
from gancore_optimizers.sgd import Sgd
from gancore_optimizers.subgradient import Subgradient

SCHEDULED = [
    Sgd(lr=0.05, lr_schedule="cosine", warmup=3),
    Sgd(lr=0.02, momentum=0.9, weight_decay=1e-3),
    Sgd(lr=0.02, momentum=0.9, nesterov=True, lr_schedule="linear"),
    Adam(lr=0.05, lr_schedule="cosine", final=0.1),
    AdamW(lr=0.05, warmup=5),
    RmsProp(lr=0.05, lr_schedule="linear"),
]
ALL = [*SCHEDULED, Subgradient(lr=0.1), Subgradient(lr=0.3, power=0.75, normalize=True)]


def by_name(component):
    return f"{type(component).__name__}-{ALL.index(component)}"


def quadratic(x, y):
    """Lowest, 0, at x = (1, -2) and y = 0.5."""
    return (x - torch.tensor([1.0, -2.0])).square().sum() + 4 * (y - 0.5).square().sum()


def descend(component, steps, resume_at=None):
    """Values after every step; at `resume_at` everything is built anew and loaded from state dicts."""

    def start():
        parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
        optimizer = component.build(parameters, lazy=16 / 17)
        return parameters, optimizer, component.schedule(optimizer, steps)

    parameters, optimizer, plan = start()
    values = []
    for t in range(steps):
        if t == resume_at:
            old, old_optimizer, old_plan = parameters, optimizer, plan
            parameters, optimizer, plan = start()
            for new, value in zip(parameters, old, strict=True):
                new.data.copy_(value.data)
            optimizer.load_state_dict(old_optimizer.state_dict())
            plan.load_state_dict(old_plan.state_dict())
        optimizer.zero_grad()
        quadratic(*parameters).backward()
        optimizer.step()
        plan.step()
        values.append(quadratic(*parameters).item())
    return values, parameters


@pytest.mark.parametrize("component", ALL, ids=by_name)
def test_lowers_a_quadratic(component):
    values, _ = descend(component, 200)
    assert values[-1] < 6 / 100  # it starts at 6


@pytest.mark.parametrize("component", ALL, ids=by_name)
def test_resumed_equals_uninterrupted_bit_by_bit(component):
    straight, parameters = descend(component, 20)
    resumed, others = descend(component, 20, resume_at=9)
    assert resumed == straight
    assert all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))


@pytest.mark.parametrize("component", ALL, ids=by_name)
def test_a_parameter_without_gradient_stays(component):
    moving, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    moving.grad = torch.ones(2)
    component.build([moving, still], lazy=1.0).step()
    assert moving.max() < 1
    assert still.tolist() == [1, 1]


@pytest.mark.parametrize("component", ALL, ids=by_name)
def test_a_gradient_that_is_not_finite_is_not_masked(component):
    x = nn.Parameter(torch.ones(2))
    x.grad = torch.tensor([float("nan"), 1.0])
    component.build([x], lazy=1.0).step()
    assert x[0].isnan()


C = 16 / 17  # the lazy correction of a penalty that runs every 16 phases


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (Sgd(lr=0.17, momentum=0.9, weight_decay=0.3), {"lr": 0.16, "momentum": 0.9**C, "weight_decay": 0.3}),
        (Sgd(lr=0.17), {"lr": 0.16, "momentum": 0.0}),
        (Adam(lr=0.0017), {"lr": 0.0016, "betas": (0.5**C, 0.999**C), "eps": 1e-8}),
        (Adam(lr=0.0017, beta1=0.0, beta2=0.99), {"lr": 0.0016, "betas": (0.0, 0.99**C)}),
        (AdamW(lr=0.0017), {"lr": 0.0016, "betas": (0.5**C, 0.999**C), "weight_decay": 0.01}),
        (RmsProp(lr=0.0017), {"lr": 0.0016, "alpha": 0.99**C}),
        (Subgradient(lr=0.17), {"lr": 0.16}),
    ],
    ids=str,
)
def test_lazy_correction_for_sixteen(component, expected):
    (group,) = component.build([nn.Parameter(torch.ones(1))], lazy=C).param_groups
    for name, value in expected.items():
        assert group[name] == pytest.approx(value, rel=1e-12), name


def test_lazy_correction_in_numbers():
    (group,) = Adam(lr=0.002, beta1=0.0, beta2=0.99).build([nn.Parameter(torch.ones(1))], lazy=C).param_groups
    # StyleGAN2's D: learning rate 0.002, betas 0 and 0.99, R1 every 16.
    assert group["lr"] == pytest.approx(0.00188235, abs=1e-8)
    assert group["betas"] == pytest.approx((0, 0.99058546), abs=1e-8)


@pytest.mark.parametrize("component", ALL, ids=by_name)
def test_without_lazy_penalties_options_reach_torch_as_they_are(component):
    (group,) = component.build([nn.Parameter(torch.ones(1))], lazy=1.0).param_groups
    assert group["lr"] == component.lr
    for name in ("momentum", "nesterov", "weight_decay", "eps", "alpha", "normalize"):
        if hasattr(component, name):
            assert group[name] == getattr(component, name), name


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (Sgd, {"lr": 0.0}),
        (Sgd, {"momentum": 1.0}),
        (Sgd, {"weight_decay": -1.0}),
        (Adam, {"lr": -1.0}),
        (Adam, {"beta1": 1.0}),
        (Adam, {"beta2": -0.1}),
        (Adam, {"eps": 0.0}),
        (AdamW, {"weight_decay": -0.1}),
        (RmsProp, {"alpha": 1.0}),
        (Subgradient, {"power": 0.4}),
        (Subgradient, {"power": 1.1}),
        (Subgradient, {"lr": 0.0}),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(cls, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        cls(**options)
