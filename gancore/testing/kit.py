"""Checks: named, one promise each; collected for the components of a distribution."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar
from unittest import SkipTest

from attrs import frozen

from gancore.components import Kind, options_of
from gancore.errors import ComponentError
from gancore.registry import Offer, Registry

F = TypeVar("F", bound=Callable[..., object])

# Imported only when checks are collected: most of them need torch.
ROOMS: Mapping[Kind, str] = {
    "model": "models",
    "loss": "losses",
    "optimizer": "optimizers",
    "regularizer": "regularizers",
    "dataset": "datasets",
    "metric": "metrics",
    "callback": "callbacks",
    "rule": "rules",
}


class Violation(AssertionError):  # noqa: N818 - it is reported as one
    """A component breaks its contract. The message says what is wrong and what to do."""


class NotHere(SkipTest):
    """A check that cannot be made on this machine, such as of data that are not here. Test runners show it as
    skipped."""


@frozen(eq=False)
class Subject:
    """A component under test.

    Attributes:
        options: those to create it with, besides the defaults; required ones have to be among them.
    """

    offer: Offer
    cls: type
    options: Mapping[str, Any]

    def create(self) -> Any:
        return self.cls(**self.options)

    def __str__(self) -> str:
        return f"{self.offer.kind} {self.offer.name!r}"


@frozen(eq=False)
class Check:
    """One check of one component. Call it: it returns, raises `Violation`, or raises `NotHere`."""

    subject: Subject
    function: Callable[[Subject], None]

    @property
    def name(self) -> str:
        return f"{self.subject.offer.kind}-{self.subject.offer.name}-{self.function.__name__}".replace("_", "-")

    def __call__(self) -> None:
        self.function(self.subject)


def only_for(*conditions: Callable[[type], bool]) -> Callable[[F], F]:
    """A check of those component classes only for which all conditions hold."""

    def decorate(function: F) -> F:
        function.conditions = conditions  # type: ignore[attr-defined]
        return function

    return decorate


def method(*names: str) -> Callable[[type], bool]:
    """The condition that a class has one of these methods."""
    return lambda cls: any(hasattr(cls, name) for name in names)


def option_named(name: str) -> Callable[[type], bool]:
    """The condition that a class has this option."""
    return lambda cls: any(field.name == name for field in options_of(cls))


def checks_of(
    distribution: str, options: Mapping[str, Mapping[str, Any]] | None = None, registry: Registry | None = None
) -> Iterator[Check]:
    """All checks of all components that a distribution offers.

    Args:
        options: by component name, options to create it with; needed where a component has required ones.

    Raises:
        ComponentError: the distribution offers nothing, or is broken.
    """
    registry = registry or Registry.discover()
    mine = [offer for offer in registry.offers if offer.plugin.distribution == distribution]
    broken = [str(item) for item in registry.broken if item.plugin.distribution == distribution]
    if broken or not mine:
        raise ComponentError("; ".join(broken) or f"{distribution} is not installed, or offers no component")
    for offer in mine:
        subject = Subject(offer, offer.load(), (options or {}).get(offer.name, {}))
        for room in ("common", ROOMS[offer.kind]):
            for function in import_module(f"gancore.testing.{room}").CHECKS:
                if all(has(subject.cls) for has in getattr(function, "conditions", ())):
                    yield Check(subject, function)


def parametrize_with_checks(
    distribution: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> Callable[[F], F]:
    """Decorate a test that takes `check`: it becomes one named case per check of the distribution."""
    import pytest

    found = list(checks_of(distribution, options))

    def decorate(test: F) -> F:
        decorated: F = pytest.mark.parametrize("check", found, ids=[check.name for check in found])(test)
        return decorated

    return decorate
