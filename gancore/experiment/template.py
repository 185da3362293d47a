"""A commented experiment to start from: the chosen components with all their options as comments."""

import textwrap
from typing import Any, Literal, get_args, get_origin

import attrs
import tomlkit

from gancore.components import Kind, options_of
from gancore.experiment.schema import type_name
from gancore.experiment.tables import Train
from gancore.registry import Registry

_WIDTH = 100  # columns; a description that does not fit behind its option stands above it
_KIND_OF: dict[str, Kind] = {"data": "dataset", "model": "model", "loss": "loss", "optimizer": "optimizer"}
_SAY = {
    "data": "What is real.",
    "model": "G and D. Two different ones: [generator] and [discriminator] instead.",
    "loss": "What they play for.",
    "optimizer": "How they learn. [optimizer.generator] and [optimizer.discriminator] may differ.",
}


def template(registry: Registry, names: dict[str, str]) -> str:
    """An experiment that trains as it is.

    Args:
        names: the component of each of data, model, loss and optimizer.

    Raises:
        ComponentError: one of them is not installed.
    """
    lines = [
        "# An experiment of gancore. What stands behind # is the default; take the # away to change it.",
        "",
    ]
    lines += ["[train]", "steps = 4000", *_comments(Train, given={"steps", "epochs"}), ""]
    for table, kind in _KIND_OF.items():
        offer = registry.find(kind, names[table])
        lines += [f"# {_SAY[table]}", f"# Others: gancore list {kind}", f"[{table}]", f'name = "{names[table]}"']
        lines += [*_comments(offer.load()), ""]
    lines += [
        "# Any number of these, in the order in which they act: gancore list regularizer",
        "# [[regularizer]]",
        '# name = "r1"',
        "",
    ]
    return "\n".join(lines)


def _comments(cls: type, given: set[str] | None = None) -> list[str]:
    """A required option stands as one to fill in; the others as comments."""
    lines: list[str] = []
    for field in options_of(cls):
        if field.name in (given or ()):
            continue
        doc = " ".join(field.metadata.get("doc", "").split())
        if field.default is attrs.NOTHING:
            lines += _line(f"{field.name} = {_placeholder(field.type)}", f"To fill in: {doc}")
        elif field.default is None:
            lines += _line(f"# {field.name} = ...", f"{doc} ({type_name(field.type)})".strip())
        else:
            lines += _line(f"# {field.name} = {_toml(field.default)}", doc)
    return lines


def _line(option: str, doc: str) -> list[str]:
    line = f"{option}  # {doc}" if doc else option
    if len(line) <= _WIDTH:
        return [line]
    above = textwrap.wrap(doc, _WIDTH, initial_indent="#   ", subsequent_indent="#   ", break_long_words=False)
    return [*above, option]


def _toml(value: Any) -> str:
    return str(tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string())


def _placeholder(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return _toml(get_args(kind)[0])
    if get_origin(kind) in (tuple, list):
        return "[]"
    return {int: "1", float: "1.0", bool: "false"}.get(kind, '"..."')
