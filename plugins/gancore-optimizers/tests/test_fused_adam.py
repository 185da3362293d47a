"""The shorter step is torch's, to the last bit; what it does not do itself is torch's."""

from typing import Any

import pytest
import torch
from torch import nn

from gancore_optimizers.fused_adam import FusedAdam

KINDS = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1}),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True}),
    "maximize": (torch.optim.Adam, {"maximize": True}),
}


def trained(make: Any, *, fused: bool | None = True, without: int | None = None, rate: Any = 0.01) -> list[Any]:
    """Parameters and state after a few steps; one parameter has no gradient in step `without`."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    first, second = network[0].parameters(), network[1].parameters()
    optimizer = make([{"params": list(first)}, {"params": list(second), "lr": 0.1}], lr=rate, fused=fused)
    for step in range(5):
        for i, parameter in enumerate(network.parameters()):
            gradient = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7 * step + i))
            parameter.grad = None if step == without and i in (1, 2, 3) else gradient
        optimizer.step()
    kept = [optimizer.state[parameter] for parameter in network.parameters()]
    return [*network.parameters(), *(state[name] for state in kept for name in sorted(state))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fused", [True, None])
@pytest.mark.parametrize("without", [None, 0, 2])
def test_it_is_torchs_to_the_last_bit(kind: str, fused: bool | None, without: int | None) -> None:
    cls, options = KINDS[kind]
    ours = {**options, "decoupled_weight_decay": True} if kind == "adamw" else options
    expected = trained(lambda p, **given: cls(p, **given, **options), fused=fused, without=without)
    found = trained(lambda p, **given: FusedAdam(p, **given, **ours), fused=fused, without=without)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_a_rate_may_be_a_tensor() -> None:
    expected = trained(torch.optim.Adam, rate=torch.tensor(0.01))
    for a, b in zip(trained(FusedAdam, rate=torch.tensor(0.01)), expected, strict=True):
        assert torch.equal(a, b)


def test_hooks_are_called() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer, seen = FusedAdam([parameter], fused=True), []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    for _ in range(3):
        parameter.grad = torch.ones(2)
        optimizer.step()
    assert len(seen) == 3
