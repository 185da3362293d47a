"""What components and networks keep on the host: a graph would freeze it, and a phase that changes it cannot be one.

Tracing runs a phase's code without a step being taken. Whatever it has changed in Python is put back, and named.
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

_OF_MODULES = {"_parameters", "_buffers", "_modules"}  # tensors, which a graph follows


class HostSide:
    """The state of some objects in Python, by name: attributes, and what stands in their lists and dictionaries."""

    def __init__(self, objects: Iterable[tuple[str, Any]]) -> None:
        self._objects = [
            (name, item) for name, thing in objects for item in (thing.modules() if _is_network(thing) else [thing])
        ]
        self._before = [_copied(_attributes(item)) for _, item in self._objects]

    def put_back(self) -> list[str]:
        """Undo what has changed since; returns the names of the objects that it has changed in."""
        changed = []
        for (name, item), before in zip(self._objects, self._before, strict=True):
            attributes = _attributes(item)
            if not _same(attributes, before):
                changed.append(name)
                _put(attributes, before)
        return list(dict.fromkeys(changed))


def _is_network(thing: Any) -> bool:
    return isinstance(thing, nn.Module)


def _attributes(item: Any) -> dict[str, Any]:
    """The object's own dictionary of them."""
    return item.__dict__ if hasattr(item, "__dict__") else {}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items() if key not in _OF_MODULES}
    if isinstance(value, list | tuple):
        return type(value)(_copied(part) for part in value) if type(value) in (list, tuple) else value
    return value


def _same(now: Any, before: Any) -> bool:
    if isinstance(now, dict) and isinstance(before, dict):  # copies are plain ones
        keys = [key for key in now if key not in _OF_MODULES]
        return keys == list(before) and all(_same(now[key], before[key]) for key in keys)
    if type(now) is not type(before):
        return False
    if type(now) in (list, tuple):
        return len(now) == len(before) and all(map(_same, now, before))
    if now is None or isinstance(now, bool | int | float | str):
        return bool(now == before)
    return now is before if isinstance(now, Tensor) else True  # anything else: nobody can tell


def _put(now: Any, before: Any) -> None:
    """Into the same dictionary or list: others may hold it too."""
    for key in [key for key in now if key not in before and key not in _OF_MODULES]:
        del now[key]
    for key, value in before.items():
        here = now.get(key)
        if isinstance(here, dict) and isinstance(value, dict):
            _put(here, value)
        elif isinstance(here, list) and isinstance(value, list):
            here[:] = value
        else:
            now[key] = value
