"""DCGAN for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_models() -> Iterable[Component]:
    return [Component("dcgan", "gancore_dcgan.dcgan:Dcgan", "Strided convolutions for square images from 16 x 16.")]
