"""Gradient penalties for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_regularizers() -> Iterable[Component]:
    return [
        Component("wgan-gp", "gancore_penalties.wgan_gp:WganGp", "D's slope between reals and fakes towards 1."),
        Component("r1", "gancore_penalties.r1:R1", "D's squared slope at reals towards 0."),
        Component("r2", "gancore_penalties.r2:R2", "D's squared slope at fakes towards 0."),
        Component("dragan", "gancore_penalties.dragan:Dragan", "D's slope around reals towards 1."),
    ]
