"""Multi-layer perceptrons for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_models() -> Iterable[Component]:
    return [Component("mlp", "gancore_mlp.mlp:Mlp", "Fully connected networks for small images and for vectors.")]
