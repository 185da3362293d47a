"""Components: what a plugin offers (`Component`) and how an author writes one (`@component`, `option`, `state`).

A component class is a frozen attrs class. Its options *are* its fields, so that the TOML reader, `gancore show`, the
JSON Schema and the author's own code all speak of the same thing.
"""

import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar, dataclass_transform, get_args

import attrs
from attrs.validators import ge, gt, le, lt, max_len, min_len

__all__ = [
    "KINDS", "Component", "Kind", "component", "ge", "gt", "le", "lt", "max_len", "min_len", "option", "options_of",
    "required", "state",
]  # fmt: skip

Kind = Literal["model", "loss", "optimizer", "regularizer", "dataset", "metric", "callback", "rule"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SUMMARY = re.compile(r".*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

T = TypeVar("T")


def _matches(pattern: re.Pattern[str], example: str) -> Callable[[Any, Any, Any], None]:
    def validate(_: object, attribute: Any, value: object) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{attribute.name} must look like {example!r}, not {value!r}")

    return validate


@attrs.frozen
class Component:
    """One offer of a plugin: a name to write in the TOML file and where the class stands.

    Args:
        name: lower case, digits and hyphens, e.g. `"wgan-gp"`. Unique within a kind and a distribution.
        target: `"package.module:Class"`. A string, because it is imported only when an experiment selects it: listing
            components must not import torch, and one broken module must not break the rest.
        summary: one line for `gancore list`.

    Raises:
        ValueError: one of them is malformed.
    """

    name: str = attrs.field(validator=_matches(_NAME, "wgan-gp"))
    target: str = attrs.field(validator=_matches(_TARGET, "package.module:Class"))
    summary: str = attrs.field(validator=_matches(_SUMMARY, "One line."))


def option(default: Any, doc: str, *validators: Callable[[Any, Any, Any], Any]) -> Any:
    """A TOML option with a default. `doc` says what it means and in which unit; validators are attrs validators."""
    return attrs.field(default=default, validator=validators or None, metadata={"doc": doc})


def required(doc: str, *validators: Callable[[Any, Any, Any], Any]) -> Any:
    """A TOML option that the user has to give."""
    return attrs.field(validator=validators or None, metadata={"doc": doc})


def state(factory: Callable[[], Any]) -> Any:
    """Something mutable a component remembers during a run; no option. Return it from `state_dict` to have it saved."""
    return attrs.field(init=False, factory=factory, repr=False)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, eq_default=False, field_specifiers=(option, required, state)
)
def component(cls: type[T]) -> type[T]:
    """Make a class a component: frozen (options do not change during a run), keyword-only, compared by identity.

    Identity, because pluggy and torch put such objects into sets and dictionaries. Without slots, so that a component
    may cache what it computes.
    """
    return attrs.define(cls, frozen=True, kw_only=True, eq=False, slots=False)


def options_of(cls: type) -> tuple["attrs.Attribute[Any]", ...]:
    """The options of a component class, in the order of its body, with types resolved."""
    attrs.resolve_types(cls)
    return tuple(field for field in attrs.fields(cls) if field.init)
