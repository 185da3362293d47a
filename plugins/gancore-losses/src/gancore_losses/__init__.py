"""GAN losses for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_losses() -> Iterable[Component]:
    return [
        Component("minimax", "gancore_losses.minimax:Minimax", "The original game; G's side saturates."),
        Component(
            "nonsaturating",
            "gancore_losses.nonsaturating:Nonsaturating",
            "Minimax with G's side that does not saturate.",
        ),
        Component("lsgan", "gancore_losses.lsgan:LsGan", "Least squares towards target scores."),
        Component("hinge", "gancore_losses.hinge:Hinge", "Margin loss, usually with spectral norm."),
        Component("wasserstein", "gancore_losses.wasserstein:Wasserstein", "Critic scores; needs Lipschitz control."),
        Component("wgan-gp", "gancore_losses.wgan_gp:WganGp", "Wasserstein that brings its gradient penalty along."),
        Component("relativistic", "gancore_losses.relativistic:Relativistic", "RpGAN: scores compared in pairs."),
    ]
