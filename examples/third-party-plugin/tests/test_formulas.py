"""Both components against values computed by hand."""

import torch
from torch import Tensor, nn
from wgan_div.divergence import WganDiv
from wgan_div.ralsgan import RaLsGan

from gancore import Context, Phase


def test_ralsgan_compares_with_the_average_of_the_other_side() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    # D: mean((1+1-1)^2, (3+1-1)^2) + mean((0-2+1)^2, (-2-2+1)^2) = 5 + 5; G: (9 + 25) / 2 + (9 + 25) / 2
    torch.testing.assert_close(RaLsGan().discriminator(real, fake), torch.tensor(10.0))
    torch.testing.assert_close(RaLsGan().generator(real, fake), torch.tensor(34.0))


class Linear(nn.Module):
    """D(x) = 3 x_0 + 4 x_1: a slope of 5 everywhere."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x @ torch.tensor([3.0, 4.0])


def test_wgan_div_is_the_slope_to_the_power_p_times_k() -> None:
    x = torch.zeros(4, 2)
    score = torch.zeros(4)
    phase = Phase(
        role="discriminator", generator=nn.Identity(), discriminator=Linear(), z=x,
        fake=x, fake_score=score, real=x + 1, real_score=score,
    )  # fmt: skip
    context = Context(torch.Generator(), torch.zeros(()), 1)
    torch.testing.assert_close(WganDiv(k=2.0, p=6.0).penalty(phase, context), torch.tensor(2.0 * 5**6))
