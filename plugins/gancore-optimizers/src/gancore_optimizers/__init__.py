"""Optimizers with learning-rate schedules for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_optimizers() -> Iterable[Component]:
    return [
        Component("sgd", "gancore_optimizers.sgd:Sgd", "Gradient descent with momentum, Nesterov's too."),
        Component("adam", "gancore_optimizers.adam:Adam", "Adam with the betas GANs use (0.5, 0.999)."),
        Component("adamw", "gancore_optimizers.adamw:AdamW", "Adam with decoupled weight decay."),
        Component("rmsprop", "gancore_optimizers.rmsprop:RmsProp", "RMSprop at the rate of the WGAN paper."),
        Component("subgradient", "gancore_optimizers.subgradient:Subgradient", "Diminishing steps a/(1+t)^p."),
    ]
