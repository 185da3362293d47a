"""What is installed -> a JSON Schema (draft-04) of experiment files: completion and checks in an editor.

Draft-04 because that is what TOML language servers (Taplo, Tombi) understand.
"""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from gancore.components import Kind, options_of
from gancore.errors import ComponentError
from gancore.experiment.read import TABLES
from gancore.experiment.tables import DEFAULT_CHECKPOINT, Health, Log, Train
from gancore.registry import Registry

_SLOTS: dict[str, Kind] = {
    "data": "dataset", "model": "model", "generator": "model", "discriminator": "model", "loss": "loss",
}  # fmt: skip
_MEANING = {
    "data": "What is real: a dataset.",
    "model": "Both networks, of one model.",
    "generator": "G, where D is of another model.",
    "discriminator": "D, where G is of another model.",
    "loss": "What both networks play for.",
    "optimizer": "How they learn; [optimizer.generator] and [optimizer.discriminator] may differ.",
    "regularizer": "Penalties, clipping, normalization, augmentation, in the order in which they act.",
    "metric": "What to measure now and then.",
    "checkpoint": "When to write checkpoints, and how many to keep.",
    "callback": "What observes the run; without any: progress, tensorboard, stats, samples and health.",
}
_ARRAYS: tuple[Kind, ...] = ("regularizer", "metric", "callback")


def schema(registry: Registry) -> dict[str, Any]:
    """The schema. Components whose module cannot be imported are left out."""
    tables: dict[str, Any] = {
        "name": {"type": "string", "description": "Names the run folder; by default the file's name."},
        "plugins": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Versions of plugins.",
        },
        "train": {**_table(Train), "description": Train.__doc__},
        "log": {**_table(Log), "description": Log.__doc__},
        "health": _health(registry),
        "optimizer": _optimizer(registry),
    }
    tables |= {table: _choice(registry, kind) for table, kind in _SLOTS.items()}
    tables["checkpoint"] = _choice(registry, "callback", default=DEFAULT_CHECKPOINT)
    tables |= {kind: {"type": "array", "items": _choice(registry, kind)} for kind in _ARRAYS}
    tables |= {table: {**tables[table], "description": meaning} for table, meaning in _MEANING.items()}
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "gancore experiment",
        "type": "object",
        "additionalProperties": False,
        "required": ["train", "data", "loss", "optimizer"],
        "properties": {table: tables[table] for table in TABLES},
    }


def type_name(kind: Any) -> str:
    """An option's type in TOML's words."""
    if get_origin(kind) is Literal:
        return " | ".join(f'"{choice}"' if isinstance(choice, str) else repr(choice) for choice in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(type_name(member) for member in get_args(kind) if member is not NoneType)
    if get_origin(kind) is tuple and get_args(kind)[-1] is not Ellipsis:
        return f"[{', '.join(map(type_name, get_args(kind)))}]"
    if get_origin(kind) in (tuple, list):
        return f"array of {type_name(get_args(kind)[0])}"
    return {int: "integer", float: "number", str: "string", bool: "boolean"}.get(kind, "table")


def _choice(registry: Registry, kind: Kind, *, default: str | None = None) -> dict[str, Any]:
    """One of the components of a kind, with its own options. The default one need not be named."""
    branches = []
    for offer in registry.of_kind(kind):
        try:
            table = _table(offer.load())
        except ComponentError:
            continue
        table["properties"] = {
            "name": {"enum": [offer.name, offer.qualified_name], "description": offer.component.summary},
            **table["properties"],
        }
        if offer.name != default:
            table["required"] = ["name", *table.get("required", [])]
        branches.append({"title": offer.name, "description": offer.component.summary, **table})
    return {"anyOf": branches} if branches else {"type": "object"}


def _health(registry: Registry) -> dict[str, Any]:
    """The engine's own options, and a table for every rule."""
    table = _table(Health)
    for offer in registry.of_kind("rule"):
        try:
            rule = _table(offer.load())
        except ComponentError:
            continue
        summary = offer.component.summary
        name = {"enum": [offer.name, offer.qualified_name], "description": summary}
        rule["properties"] = {"name": name, **rule["properties"]}
        table["properties"][offer.name] = {**rule, "description": summary}
    return {**table, "description": Health.__doc__}


def _optimizer(registry: Registry) -> dict[str, Any]:
    """`[optimizer]` may hold two further tables, which may leave out what the outer one says."""
    whole = _choice(registry, "optimizer")
    branches = []
    for branch in whole.get("anyOf", []):
        free = {**branch, "required": [], "properties": dict(branch["properties"])}
        roles = {
            role: {
                "anyOf": [{k: v for k, v in b.items() if k != "required"} for b in whole["anyOf"]],
                "description": f"What is different for the {role}, or another optimizer.",
            }
            for role in ("generator", "discriminator")
        }
        free["properties"] |= roles
        branches.append({key: value for key, value in free.items() if key != "required"})
    return {"anyOf": branches} if branches else whole


def _table(cls: type) -> dict[str, Any]:
    fields = options_of(cls)
    table: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _property(field) for field in fields},
    }
    if required := [field.name for field in fields if field.default is attrs.NOTHING]:
        table["required"] = required
    return table


def _property(field: "attrs.Attribute[Any]") -> dict[str, Any]:
    found = {**_type(field.type), "description": field.metadata.get("doc", "")}
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class, to attrs' stubs a function
        default = None if default.takes_self else default.factory()
    if default is not attrs.NOTHING and default is not None:
        found["default"] = list(default) if isinstance(default, tuple) else default
    return found


def _type(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) in (Union, UnionType):
        members = [_type(member) for member in get_args(kind) if member is not NoneType]
        return members[0] if len(members) == 1 else {"anyOf": members}
    if get_origin(kind) is tuple and get_args(kind)[-1] is not Ellipsis:
        items = [_type(element) for element in get_args(kind)]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    if get_origin(kind) in (tuple, list):
        return {"type": "array", "items": _type(get_args(kind)[0])}
    if get_origin(kind) is dict or kind is dict:
        return {"type": "object"}
    names = {int: "integer", float: "number", str: "string", bool: "boolean"}
    return {"type": names[kind]} if kind in names else {}
