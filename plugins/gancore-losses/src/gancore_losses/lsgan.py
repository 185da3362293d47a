"""The least-squares loss (Mao et al. 2017, arXiv:1611.04076, equations 2 and 9)."""

from typing import ClassVar, Literal

from torch import Tensor

from gancore import component, option


@component
class LsGan:
    """Least squares towards target scores (Mao et al. 2017, arXiv:1611.04076, equations 2 and 9).

        D minimises  1/2 E (D(x) - b)^2 + 1/2 E (D(G(z)) - a)^2
        G minimises  1/2 E (D(G(z)) - c)^2

    The factor 1/2 is the paper's; libraries differ in it, so learning rates do not carry over. D's boundary
    lies at (a + b) / 2, not at 0. The defaults are the paper's 0-1 targets, equation 9.
    """

    fake_target: float = option(0.0, "a: the score D is to give to fakes.")
    real_target: float = option(1.0, "b: the score D is to give to reals.")
    generator_target: float = option(1.0, "c: the score G wants for its fakes.")

    needs_real: ClassVar[bool] = False
    boundary: ClassVar[Literal["zero", "none"]] = "none"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        on_real = (real - self.real_target).square().mean()
        on_fake = (fake - self.fake_target).square().mean()
        return 0.5 * on_real + 0.5 * on_fake

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return 0.5 * (fake - self.generator_target).square().mean()
