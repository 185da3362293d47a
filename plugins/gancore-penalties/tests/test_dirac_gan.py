"""The Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406, section 2): the smallest GAN, solved on paper.

Data at 0, G = theta, D(x) = psi x. Local convergence is decided by the eigenvalues of the Jacobian of the
gradient field (-dL_D/dpsi, -dL_G/dtheta) at (0, 0).
"""

import cmath

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from gancore import Context, Phase
from gancore_penalties.r1 import R1
from gancore_penalties.r2 import R2

pytest.importorskip("gancore_losses")

from gancore_losses.hinge import Hinge
from gancore_losses.minimax import Minimax
from gancore_losses.nonsaturating import Nonsaturating
from gancore_losses.relativistic import Relativistic
from gancore_losses.wasserstein import Wasserstein


class Slope(nn.Module):
    """D(x) = psi x."""

    def __init__(self, psi: Tensor) -> None:
        super().__init__()
        self.psi = psi  # not a parameter: it comes with history

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.psi * x[:, 0]


def field(loss, penalties, point: Tensor) -> Tensor:
    """Where gradient descent on both losses moves (psi, theta)."""
    psi, theta = point if point.requires_grad else point.detach().requires_grad_()
    real = torch.zeros(1, 1, dtype=torch.float64)
    D = Slope(psi)
    fake = theta.reshape(1, 1)
    phase = Phase(
        role="discriminator",
        generator=nn.Identity(),
        discriminator=D,
        z=fake,
        fake=fake.detach(),
        fake_score=D(fake.detach()),
        real=real,
        real_score=D(real),
    )
    context = Context(rng=torch.Generator(), step=torch.tensor(0.0), steps=500)
    of_d = loss.discriminator(D(real), D(fake)) + sum(penalty.penalty(phase, context) for penalty in penalties)
    of_g = loss.generator(D(real), D(fake))
    (by_psi,) = torch.autograd.grad(of_d, psi, create_graph=True)
    (by_theta,) = torch.autograd.grad(of_g, theta, create_graph=True)
    return -torch.stack([by_psi, by_theta])


def pair(centre: float, square: float) -> list[complex]:
    """centre +- sqrt(square)"""
    root = cmath.sqrt(square)
    return [centre + root, centre - root]


def in_order(values):
    return sorted(values, key=lambda value: (round(value.real, 9), round(value.imag, 9)))


GAMMA = 0.3
EIGENVALUES = {
    "minimax": (Minimax(), [], pair(0, -1 / 4)),
    "nonsaturating": (Nonsaturating(), [], pair(0, -1 / 4)),
    "relativistic": (Relativistic(), [], pair(0, -1 / 4)),
    "wasserstein": (Wasserstein(), [], pair(0, -1)),
    "hinge": (Hinge(), [], pair(0, -1)),
    "minimax + r1": (Minimax(), [R1(gamma=GAMMA)], pair(-GAMMA / 2, GAMMA**2 / 4 - 1 / 4)),
    "nonsaturating + r2": (Nonsaturating(), [R2(gamma=GAMMA)], pair(-GAMMA / 2, GAMMA**2 / 4 - 1 / 4)),
    "relativistic + r1": (Relativistic(), [R1(gamma=GAMMA)], pair(-GAMMA / 2, GAMMA**2 / 4 - 1 / 4)),
    "critical": (Nonsaturating(), [R1(gamma=1.0)], [-0.5, -0.5]),
    "overdamped": (Nonsaturating(), [R1(gamma=2.0)], pair(-1, 3 / 4)),
    "relativistic + r1 + r2": (
        Relativistic(),
        [R1(gamma=GAMMA), R2(gamma=GAMMA)],
        pair(-GAMMA, GAMMA**2 - 1 / 4),
    ),
    "wasserstein + r1": (Wasserstein(), [R1(gamma=GAMMA)], pair(-GAMMA / 2, GAMMA**2 / 4 - 1)),
}


@pytest.mark.parametrize("name", EIGENVALUES)
def test_the_eigenvalues_at_the_equilibrium_are_those_of_the_closed_form(name):
    loss, penalties, expected = EIGENVALUES[name]
    origin = torch.zeros(2, dtype=torch.float64)
    J = jacobian(lambda point: field(loss, penalties, point), origin)
    # A double eigenvalue is known to half the digits only, hence the characteristic polynomial as well.
    assert torch.trace(J).item() == pytest.approx(sum(expected).real, abs=1e-12)
    assert torch.linalg.det(J).item() == pytest.approx((expected[0] * expected[1]).real, abs=1e-12)
    found = [complex(value) for value in torch.linalg.eigvals(J)]
    for a, b in zip(in_order(found), in_order(map(complex, expected)), strict=True):
        assert abs(a - b) < 1e-6


DISTANCES = {
    "minimax": (Minimax(), [], 3.353, 5e-4),
    "minimax + r1 0.3": (Minimax(), [R1(gamma=0.3)], 4.8e-6, 5e-8),
    "minimax + r1 1": (Minimax(), [R1(gamma=1.0)], 8.5e-21, 5e-23),
    "nonsaturating + r1 0.3": (Nonsaturating(), [R1(gamma=0.3)], 3.2e-6, 5e-8),
    "nonsaturating + r1 0.3 + r2 0.3": (Nonsaturating(), [R1(gamma=0.3), R2(gamma=0.3)], 4.6e-13, 5e-15),
    "wasserstein + r1 0.3": (Wasserstein(), [R1(gamma=0.3)], 9.1e-3, 5e-5),
}


@pytest.mark.parametrize("name", DISTANCES)
def test_five_hundred_simultaneous_steps_end_where_they_should(name):
    loss, penalties, expected, half_a_digit = DISTANCES[name]
    point = torch.ones(2, dtype=torch.float64)
    for _ in range(500):
        point = point + 0.2 * field(loss, penalties, point).detach()
    assert torch.linalg.vector_norm(point).item() == pytest.approx(expected, abs=half_a_digit)


def test_five_hundred_alternating_steps_of_wasserstein_with_r1():
    point = torch.ones(2, dtype=torch.float64)
    for _ in range(500):
        point = point + 0.2 * field(Wasserstein(), [R1(gamma=0.3)], point).detach() * torch.tensor([1.0, 0.0])
        point = point + 0.2 * field(Wasserstein(), [R1(gamma=0.3)], point).detach() * torch.tensor([0.0, 1.0])
    assert torch.linalg.vector_norm(point).item() == pytest.approx(2.7e-7, abs=5e-9)
