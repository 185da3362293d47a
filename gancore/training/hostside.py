"""What components and networks keep on the host: a graph would freeze it, and a phase that changes it cannot be one.

Making a graph runs a phase's code without a step being taken. Whatever that has changed in Python is put back, and
named.
"""

import copy
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_OF_MODULES = {"_parameters", "_modules"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_DEEP = 6  # objects in objects that are looked into


class HostSide:
    """The state of some objects in Python, by name: attributes, what stands in their lists and dictionaries, which
    tensors their buffers are; and of the global random streams of Python and numpy."""

    def __init__(self, objects: Iterable[tuple[str, Any]]) -> None:
        self._objects = [(name, item) for name, thing in objects for item in _within(thing)]
        self._before = [_copied(_attributes(item)) for _, item in self._objects]
        self._python, self._numpy = random.getstate(), np.random.get_state(legacy=False)

    def put_back(self) -> list[str]:
        """Undo what has changed since; returns the names of the objects that it has changed in."""
        changed = []
        for (name, item), before in zip(self._objects, self._before, strict=True):
            attributes = _attributes(item)
            if not _same(attributes, before):
                changed.append(name)
                _put(item, attributes, before)
        if random.getstate() != self._python:
            random.setstate(self._python)
            changed.append("Python's random stream")
        if not _same(np.random.get_state(legacy=False), self._numpy):
            np.random.set_state(self._numpy)
            changed.append("numpy's random stream")
        return list(dict.fromkeys(changed))


def _within(thing: Any) -> Iterator[Any]:
    """The object, and those that it holds: modules of a network, plain objects of a component."""
    seen: set[int] = set()
    waiting = [(item, 0) for item in (thing.modules() if isinstance(thing, nn.Module) else [thing])]
    while waiting:
        item, depth = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if depth < _DEEP:
            waiting += [(part, depth + 1) for part in _parts(_attributes(item)) if _is_object(part)]


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in _OF_MODULES:
                yield from _parts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def _is_object(value: Any) -> bool:
    """One of somebody's own classes: what torch and numpy keep is theirs."""
    of = type(value).__module__.partition(".")[0]
    return of not in ("builtins", "torch", "numpy", "collections", "functools", "typing") and not callable(value)


def _attributes(item: Any) -> dict[str, Any]:
    """The object's own dictionary of them, or one of its slots."""
    if hasattr(item, "__dict__"):
        own: dict[str, Any] = item.__dict__
        return own
    slots = [name for cls in type(item).__mro__ for name in _slots(cls)]
    return {name: getattr(item, name) for name in slots if hasattr(item, name)}


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return tuple(name for name in ((slots,) if isinstance(slots, str) else slots) if not name.startswith("__"))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items() if key not in _OF_MODULES}
    if type(value) in (list, tuple):
        return type(value)(_copied(part) for part in value)
    if isinstance(value, np.ndarray | set) or type(value).__name__ == "deque":
        return copy.copy(value)
    return value


def _same(now: Any, before: Any) -> bool:
    if isinstance(now, dict) and isinstance(before, dict):  # copies are plain ones
        keys = [key for key in now if key not in _OF_MODULES]
        return len(keys) == len(before) and all(key in before and _same(now[key], before[key]) for key in keys)
    if type(now) is not type(before):
        return False
    if type(now) in (list, tuple):
        return len(now) == len(before) and all(map(_same, now, before))
    if isinstance(now, np.ndarray):
        return bool(np.array_equal(now, before))
    if isinstance(now, (*_PLAIN, set)) or type(now).__name__ == "deque":
        return bool(now == before or now != now)  # NaN is what it was
    return now is before if isinstance(now, Tensor | torch.Generator) else True  # looked into by itself, or unknown


def _put(item: Any, now: dict[Any, Any], before: dict[Any, Any]) -> None:
    """Into the same dictionaries and lists: others may hold them too."""
    for key in [key for key in now if key not in before and key not in _OF_MODULES]:
        _remove(item, now, key)
    for key, value in before.items():
        here = now.get(key)
        if isinstance(here, dict) and isinstance(value, dict):
            _put(None, here, value)
        elif isinstance(here, list) and isinstance(value, list):
            here[:] = value
        elif item is not None and not hasattr(item, "__dict__"):
            object.__setattr__(item, key, value)
        else:
            now[key] = value


def _remove(item: Any, now: dict[Any, Any], key: Any) -> None:
    if item is not None and not hasattr(item, "__dict__"):
        object.__delattr__(item, key)
    else:
        del now[key]
