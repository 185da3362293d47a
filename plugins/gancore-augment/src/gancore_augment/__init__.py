"""What discriminators are shown, changed: augmentation and noise for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_regularizers() -> Iterable[Component]:
    return [
        Component(
            "diffaugment",
            "gancore_augment.diffaugment:DiffAugment",
            "D sees reals and fakes in random colours, places and with holes.",
        ),
        Component(
            "instance-noise",
            "gancore_augment.instance_noise:InstanceNoise",
            "D sees reals and fakes through noise that fades.",
        ),
    ]
