"""What holds for components of every kind."""

import re
import subprocess
import sys
import tomllib
from typing import Any

import attrs
import tomlkit

from gancore.components import options_of
from gancore.contracts import Stateful
from gancore.experiment.schema import schema
from gancore.experiment.structure import structure
from gancore.registry import Registry
from gancore.testing.kit import NotHere, Subject, Violation, method, only_for

_MATHS = ("model", "loss", "optimizer", "regularizer", "rule")
_SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}|et al\.|\b(19|20)\d\d\b|doi", re.IGNORECASE)


def discovery_imports_no_torch(subject: Subject) -> None:
    """`gancore list` must not import torch: the module with the hooks names components by strings."""
    point = subject.offer.plugin.entry_point
    code = (
        "import sys\nfrom importlib.metadata import entry_points\n"
        f"[p.load() for p in entry_points(group='gancore') if p.name == {point!r}]\nsys.exit('torch' in sys.modules)"
    )
    if subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode:
        raise Violation(
            f"{subject}: the module of entry point {point!r} imports torch. Offer components by name "
            '(Component("x", "package.module:Class", ...)) and keep their imports in their own modules'
        )


def docstring_names_a_source(subject: Subject) -> None:
    doc = subject.cls.__doc__ or ""
    if not doc.strip() or doc.startswith(f"{subject.cls.__name__}("):
        raise Violation(f"{subject}: {subject.cls.__name__} has no docstring; `gancore show` prints it")
    if subject.offer.kind in _MATHS and not _SOURCE.search(doc):
        raise Violation(
            f"{subject}: the docstring of {subject.cls.__name__} names no source. Say which paper (arXiv:1406.2661, "
            "equation 1) or book the formula is from"
        )


def options_are_documented_and_typed(subject: Subject) -> None:
    for field in options_of(subject.cls):
        if not field.metadata.get("doc"):
            raise Violation(
                f"{subject}: option {field.name!r} has no doc; write option(default, 'what it means, unit')"
            )
        if field.type in (None, Any):
            raise Violation(
                f"{subject}: option {field.name!r} has no type; annotate it, so that the file can be checked"
            )


def created_with_its_defaults(subject: Subject) -> Any:
    """An instance, from defaults and the options that the test was given."""
    missing = [f.name for f in options_of(subject.cls) if f.default is attrs.NOTHING and f.name not in subject.options]
    if missing:
        raise NotHere(f"{subject} has required options ({', '.join(missing)}); hand them to the kit to have it checked")
    try:
        return subject.create()
    except Exception as error:
        raise Violation(
            f"{subject}: cannot be created with its defaults: {type(error).__name__}: {error}. A default has to "
            "pass the "
            "option's own validators; an option without a sensible default is required(...)"
        ) from error


def options_survive_toml(subject: Subject) -> None:
    """Options -> TOML -> options: what a run records is what a resume reads."""
    component = created_with_its_defaults(subject)
    given = {f.name: getattr(component, f.name) for f in options_of(subject.cls)}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        text = tomlkit.dumps({name: list(v) if isinstance(v, tuple) else v for name, v in given.items()})
    except Exception as error:
        raise Violation(f"{subject}: TOML has no word for an option's value: {error}") from error
    read, complaints = structure(subject.cls, tomllib.loads(text))
    if complaints:
        path, message, _ = complaints[0]
        raise Violation(
            f"{subject}: option {'.'.join(map(str, path))} does not read back: {message}. Use bool, int, float, str, "
            "Literal, tuple[...] or `X | None` as types"
        )
    changed = [name for name, value in given.items() if read[name] != value]
    if changed:
        raise Violation(f"{subject}: options {', '.join(changed)} read back as other values than they were written as")


def schema_has_it(subject: Subject) -> None:
    found = schema(Registry((), (subject.offer,), ()))
    if subject.offer.qualified_name not in str(found):
        raise Violation(f"{subject}: is not in the JSON Schema; its module does not import, see `gancore plugins`")


@only_for(method("state_dict", "load_state_dict"))
def state_survives_a_round_trip(subject: Subject) -> None:
    """state_dict -> load_state_dict -> the same state_dict."""
    component = created_with_its_defaults(subject)
    if not isinstance(component, Stateful):
        raise Violation(f"{subject}: has one of state_dict and load_state_dict; a resumed run needs both")
    other = subject.create()
    other.load_state_dict(component.state_dict())
    if str(other.state_dict()) != str(component.state_dict()):
        raise Violation(f"{subject}: load_state_dict does not restore what state_dict returned")


CHECKS = (
    discovery_imports_no_torch,
    docstring_names_a_source,
    options_are_documented_and_typed,
    created_with_its_defaults,
    options_survive_toml,
    schema_has_it,
    state_survives_a_round_trip,
)
