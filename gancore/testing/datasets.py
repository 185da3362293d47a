"""What every data set has to hold. Where the data are not on this machine, only what needs none of them is checked."""

from typing import Any

import torch
from torch import Tensor

from gancore.contracts import DataSpec
from gancore.errors import DataError
from gancore.testing.kit import NotHere, Subject, Violation, only_for, option_named

LOOKED_AT = 16


def spec_is_sensible(subject: Subject) -> None:
    spec = _spec(subject)
    if len(spec.shape) not in (1, 3) or min(spec.shape) < 1:
        raise Violation(f"{subject}: shape {spec.shape} is neither an image (C, H, W) nor a vector (F,)")
    if len(spec.shape) == 3 and spec.range != (-1.0, 1.0):
        raise Violation(f"{subject}: images reach D in (-1, 1); leave `range` of the DataSpec at its default")


def samples_are_what_the_spec_says(subject: Subject) -> None:
    spec, data = _spec(subject), _load(subject)
    dtype = torch.uint8 if spec.is_image else torch.float32
    for index in _some(data):
        value, *labels = data[index]
        if tuple(value.shape) != spec.shape or value.dtype != dtype:
            raise Violation(
                f"{subject}: sample {index} is {tuple(value.shape)} {value.dtype}; its spec says {spec.shape} "
                f"{dtype} (the "
                "engine maps uint8 to [-1, 1] itself)"
            )
        if spec.classes and not (labels and 0 <= int(labels[0]) < spec.classes):
            raise Violation(f"{subject}: sample {index} has label {labels}; the spec says 0 to {spec.classes - 1}")


def an_index_gives_the_same_bytes_every_time(subject: Subject) -> None:
    one, other = _load(subject), _load(subject)
    if len(one) != len(other):
        raise Violation(f"{subject}: has {len(one)} samples once and {len(other)} samples another time")
    for index in _some(one):
        if not all(_equal(a, b) for a, b in zip(one[index], other[index], strict=True)):
            raise Violation(
                f"{subject}: sample {index} differs between two loads. Draw from a torch.Generator with a seed of "
                "its own; "
                "leave random augmentation to regularizers"
            )


@only_for(option_named("root"))
def missing_data_are_named(subject: Subject) -> None:
    """A data set with a `root` says which folder it looked into, in a DataError."""
    nowhere = "/nowhere/that/exists"
    component = subject.cls(**{**subject.options, "root": nowhere})
    try:
        component.load()
    except DataError as error:
        if nowhere not in str(error):
            raise Violation(f"{subject}: its DataError does not name the folder that was searched: {error}") from error
    except Exception as error:
        raise Violation(
            f"{subject}: missing data raise {type(error).__name__}; raise gancore.DataError that says where you looked "
            "and what to do"
        ) from error


def _spec(subject: Subject) -> DataSpec:
    try:
        spec = subject.create().spec()
    except DataError as error:
        raise NotHere(str(error)) from error
    except TypeError as error:
        raise NotHere(f"{subject} has required options; hand them to the kit to have it checked") from error
    if not isinstance(spec, DataSpec):
        raise Violation(f"{subject}: spec() returned {type(spec).__name__}; return a gancore.DataSpec")
    return spec


def _load(subject: Subject) -> Any:
    _spec(subject)
    try:
        return subject.create().load()
    except DataError as error:
        raise NotHere(str(error)) from error


def _some(data: Any) -> list[int]:
    return sorted({i * len(data) // LOOKED_AT for i in range(LOOKED_AT)})


def _equal(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)


CHECKS = (
    spec_is_sensible,
    samples_are_what_the_spec_says,
    an_index_gives_the_same_bytes_every_time,
    missing_data_are_named,
)
