"""Gradient clipping and weight clipping for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_regularizers() -> Iterable[Component]:
    return [
        Component(
            "gradient-clipping",
            "gancore_clipping.gradient_clipping:GradientClipping",
            "Gradients limited by norm, by value or per unit (AGC).",
        ),
        Component(
            "autoclip",
            "gancore_clipping.autoclip:AutoClip",
            "Gradient norm limited to a percentile of its own history.",
        ),
        Component(
            "weight-clipping",
            "gancore_clipping.weight_clipping:WeightClipping",
            "D's weights kept within [-c, c] (WGAN).",
        ),
    ]
