"""The subgradient method with diminishing steps (Shor 1985; Polyak 1987, "Introduction to Optimization")."""

from collections.abc import Iterable

from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from gancore import component, ge, gt, le, option
from gancore_optimizers.subgradient_step import SubgradientStep


@component
class Subgradient:
    """The subgradient method (Shor 1985; Polyak 1987; Boyd, Xiao & Mutapcic 2003, "Subgradient Methods").

        x <- x - a_t g,   a_t = a / (1 + t)^p,   normalised: x <- x - a_t g / ||g||

    with g a subgradient and t the steps finished. For p up to 1 the sum of a_t is infinite while a_t falls to
    0: on a convex function the best value so far then converges to the minimum. For p above 0.5 the sum of
    a_t^2 is finite as well: with stochastic subgradients, ReLU networks then approach critical points (Davis
    et al. 2018, arXiv:1804.07795). Both speak of one function that is minimised; a GAN is a game. A step need
    not lower the loss.

    At a kink g is what torch's autograd returns, and the tests pin it: 0 for relu, abs and hardtanh, so for
    hinge's relu(1 - x) at x = 1; the negative slope for leaky_relu; equal shares of ties for amax, max() and
    maximum; all to one of the ties for max(dim). clamp at its bounds has 1 in older torch and 0 in newer.
    """

    lr: float = option(0.1, "a: the first step's learning rate; its length where normalized.", gt(0))
    power: float = option(0.5, "p: how fast steps diminish, 0.5 to 1.", ge(0.5), le(1))
    normalize: bool = option(False, "Divide g by its norm over all parameters of the network (Shor).")

    def build(self, parameters: Iterable[Parameter], lazy: float) -> Optimizer:
        return SubgradientStep(parameters, lr=self.lr * lazy, normalize=self.normalize)

    def schedule(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        # The plan needs no end. LambdaLR leaves plain functions out of its state.
        return LambdaLR(optimizer, lambda t: (1 + t) ** -self.power)
