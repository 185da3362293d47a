"""Changes of an experiment file, as remedies propose them; comments and order stay as they are."""

import difflib
from collections.abc import Iterable, MutableMapping
from typing import Any

import tomlkit
from tomlkit.items import AoT

from gancore.contracts import Change

ARRAYS = ("regularizer", "metric", "callback")


def apply(text: str, changes: Iterable[Change]) -> str:
    """The text with all changes made. Where two change the same place, the first one counts.

    Selecting another component takes the options of the former one away. Tables that are not there are appended.

    Raises:
        tomlkit.exceptions.ParseError: the text is no TOML.
        ValueError: a change leads through something that is no table.
    """
    doc = tomlkit.parse(text)
    done: set[tuple[str, ...]] = set()
    for change in changes:
        if change.path not in done:
            done.add(change.path)
            _apply(doc, change)
    return _spaced(tomlkit.dumps(doc), text)


def diff(text: str, changes: Iterable[Change], name: str) -> str:
    """The same as a unified diff."""
    before, after = text.splitlines(keepends=True), apply(text, changes).splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, name, f"{name}, mended", n=2))


def _spaced(text: str, before: str) -> str:
    """An empty line above every table that was added."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("[") and lines and lines[-1].strip() and f"{lines[-1]}\n{line}" not in before:
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _apply(doc: Any, change: Change) -> None:
    table, *path = change.path
    at = doc
    if table in ARRAYS:
        at = _component(doc, table, path.pop(0), make=change.value is not None)
        if at is None or not path:
            if change.value is None and at is not None:
                doc[table].remove(at)
            return
    else:
        path = [table, *path]
    *parents, key = path
    for parent in parents:
        if parent not in at:
            if change.value is None:
                return
            at[parent] = tomlkit.table()
        at = at[parent]
        if not isinstance(at, MutableMapping):
            raise ValueError(f"{'.'.join(change.path)}: {parent} is no table")
    if change.value is None:
        at.pop(key, None)
        return
    if key == "name" and at.get("name") != change.value:
        for other in [other for other in at if other != "name" and not isinstance(at[other], MutableMapping)]:
            del at[other]
    at[key] = change.value


def unique(name: str, taken: Iterable[str]) -> str:
    """`name`, or `name-2` if there is one already: the same component may be used twice."""
    taken = set(taken)
    key, n = name, 1
    while key in taken:
        n += 1
        key = f"{name}-{n}"
    return key


def _component(doc: Any, kind: str, name: str, *, make: bool) -> Any:
    """The table that selects a component, by its bare name, or as `unique` names another one of that name; appended
    if it is to be made."""
    tables = doc.get(kind)
    if isinstance(tables, list):
        met: dict[str, Any] = {}
        for table in tables:
            met[unique(str(table.get("name", "")).rpartition("/")[2], met)] = table
        if name in met:
            return met[name]
    if not make:
        return None
    table = tomlkit.table()
    table["name"] = name
    if not isinstance(tables, AoT):  # missing, or an inline array, which holds no tables with comments
        aot = tomlkit.aot()
        for inline in tables or ():
            aot.append(tomlkit.item(dict(inline)))
        doc.pop(kind, None)
        doc[kind] = aot
    doc[kind].append(table)
    return doc[kind][-1]
