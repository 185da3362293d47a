"""Spectral normalization for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_regularizers() -> Iterable[Component]:
    return [
        Component(
            "spectral-norm",
            "gancore_spectral_norm.spectral_norm:SpectralNorm",
            "Every layer's largest singular value kept at 1.",
        ),
    ]
