"""What this distribution offers to gancore. Imports no torch: components are named, not imported."""

from gancore import Component, hookimpl


@hookimpl
def gancore_losses() -> list[Component]:
    return [Component("ralsgan", "wgan_div.ralsgan:RaLsGan", "Least squares against the average of the other side.")]


@hookimpl
def gancore_regularizers() -> list[Component]:
    return [Component("wgan-div", "wgan_div.divergence:WganDiv", "D's slope to a power between reals and fakes.")]
