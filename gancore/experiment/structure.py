"""One table -> the options of a component class: strictly, and all mistakes at once.

cattrs finds the hook for a type; the hooks coerce nothing: `"3"`, `true` and `3.7` are no integers. The one freedom is
writing a float without a point: `weight = 10`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from cattrs import Converter

from gancore.components import options_of
from gancore.experiment.path import Path


class OptionError(ValueError):
    """What is wrong with a value, and where inside it (`path` is relative to the value)."""

    def __init__(self, message: str, path: Path = ()) -> None:
        super().__init__(message)
        self.path = path


Complaint = tuple[Path, str, bool]  # relative path, message, whether it is about the key itself
MOST = 100  # complaints; who has more has given another kind of file


def structure(cls: type, table: Mapping[str, Any]) -> tuple[dict[str, Any], list[Complaint]]:
    """Read the options of `cls` from a table, without its `name`.

    Returns:
        the options given, structured, and the complaints, `MOST` or a few more; complete only if there are none.
    """
    fields = {field.name: field for field in options_of(cls)}
    options: dict[str, Any] = {}
    complaints: list[Complaint] = []
    for key, raw in table.items():
        if len(complaints) >= MOST:
            break
        if key not in fields:
            complaints.append(((key,), f"unknown option{did_you_mean(key, fields)}", True))
            continue
        try:
            options[key] = _converter.structure(raw, fields[key].type or object)
        except OptionError as error:
            complaints.append(((key, *error.path), str(error), False))
        except Exception as error:  # cattrs' own, about a type that options should not have, such as Path or an enum
            kind = getattr(fields[key].type, "__name__", "what its plugin wants")
            complaints.append(((key,), f"cannot be read as {kind}: {' '.join(str(error).split())}", False))
    for name, field in fields.items():
        if field.default is attrs.NOTHING and name not in table:
            complaints.append(((), f"missing option {name!r}: {field.metadata.get('doc', '')}".rstrip(": "), True))
    draft = _draft(cls, options)
    for key, value in options.items():
        if message := _refusal(draft, fields[key], value):
            complaints.append(((key,), message, False))
    return options, complaints


def _draft(cls: type, options: Mapping[str, Any]) -> Any:
    """An instance that no validator has seen yet: what has no value that could be read has its default.

    Validators may look at the other options of their component.
    """
    draft: Any = object.__new__(cls)
    for field in options_of(cls):
        value = options.get(field.name, field.default)
        if isinstance(value, attrs.Factory):  # type: ignore[arg-type]  # a class, to attrs' stubs a function
            value = value.factory(draft) if value.takes_self else value.factory()
        if value is not attrs.NOTHING:
            object.__setattr__(draft, field.name, value)
    return draft


def _refusal(draft: Any, field: "attrs.Attribute[Any]", value: Any) -> str:
    """What the option's validators say against its value."""
    try:
        if field.validator is not None:
            field.validator(draft, field, value)
    except (ValueError, TypeError) as error:  # attrs puts the message first among several arguments
        return str(error.args[0] if error.args else error).removeprefix(f"'{field.name}' ")
    except AttributeError:
        if all(hasattr(draft, other.name) for other in options_of(type(draft))):
            raise
        # It looked at a required option that is missing, which is complained about already.
    return ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "steps"?`, or what there is to choose from."""
    known = list(known)
    if close := get_close_matches(word, known, n=1):
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(known)}" if known else "; there are no options here"


def say(value: Any) -> str:
    """What a value is and, if it is short, which: `an integer (3)`."""
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a float",
        str: "a string",
        list: "an array",
        dict: "a table",
    }
    if isinstance(value, list | dict):
        return kinds[type(value)]
    try:
        text = repr(value) if isinstance(value, str | int | float) else str(value)
    except ValueError:  # Python writes no integer of more than 4300 digits, but reads 0xfff...
        text = "a huge one"
    if isinstance(value, bool):
        text = text.lower()
    return f"{kinds.get(type(value), 'a date or time')} ({text if len(text) <= 40 else text[:37] + '...'})"


def _bool(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise OptionError(f"expected true or false, got {say(value)}")
    return value


def _int(value: Any, _: Any) -> int:
    if type(value) is not int:
        raise OptionError(f"expected an integer, got {say(value)}")
    if not -(2**63) <= value < 2**63:
        raise OptionError("does not fit into 64 bits")
    return value


def _float(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise OptionError(f"expected a number, got {say(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise OptionError(f"expected a finite number, got {value if type(value) is float else 'a huge one'}")
    return number


def _str(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"expected a string, got {say(value)}")
    return value


def _literal(value: Any, kind: Any) -> Any:
    choices = get_args(kind)
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    strings = [choice for choice in choices if isinstance(choice, str)]
    close = get_close_matches(value, strings, n=1) if isinstance(value, str) else []
    hint = f'; did you mean "{close[0]}"?' if close else ""
    shown = ", ".join(f'"{choice}"' if isinstance(choice, str) else repr(choice) for choice in choices)
    one_of = "one of " if len(choices) > 1 else ""
    raise OptionError(f"expected {one_of}{shown}; got {say(value)}{hint}")


def _tuple(value: Any, kind: Any) -> Any:
    if not isinstance(value, list):
        raise OptionError(f"expected an array, got {say(value)}")
    elements = get_args(kind)
    if elements[-1] is Ellipsis:  # tuple[int, ...]; otherwise one type per element
        elements = elements[:1] * len(value)
    if len(elements) != len(value):
        raise OptionError(f"expected an array of {len(elements)}, got one of {len(value)}")
    return tuple(_inside(i, item, element) for i, (item, element) in enumerate(zip(value, elements, strict=True)))


def _list(value: Any, kind: Any) -> list[Any]:
    if not isinstance(value, list):
        raise OptionError(f"expected an array, got {say(value)}")
    return [_inside(i, item, get_args(kind)[0]) for i, item in enumerate(value)]


def _inside(key: str | int, value: Any, kind: Any) -> Any:
    """An element of an array or of a table."""
    try:
        return _converter.structure(value, kind)
    except OptionError as error:
        raise OptionError(str(error), (key, *error.path)) from error


def _union(value: Any, kind: Any) -> Any:
    members = [member for member in get_args(kind) if member is not NoneType]
    messages = []
    for member in members:
        try:
            return _converter.structure(value, member)
        except OptionError as error:
            messages.append(error)
    if len(messages) == 1:
        raise messages[0]
    wanted = (re.split(r"[,;] got ", str(message))[0].removeprefix("expected ") for message in messages)
    raise OptionError(f"expected {' or '.join(wanted)}, got {say(value)}")


def _table(value: Any, kind: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OptionError(f"expected a table, got {say(value)}")
    element = (get_args(kind) or (str, Any))[1]
    return {key: _inside(key, item, element) for key, item in value.items()}


def _has_origin(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins


_HOOKS: tuple[tuple[tuple[Any, ...], Callable[[Any, Any], Any]], ...] = (
    ((Literal,), _literal),
    ((tuple,), _tuple),
    ((list,), _list),
    ((dict,), _table),
    ((Union, UnionType), _union),
)
_converter = Converter()
_converter.register_structure_hook(bool, _bool)
_converter.register_structure_hook(int, _int)
_converter.register_structure_hook(float, _float)
_converter.register_structure_hook(str, _str)
_converter.register_structure_hook(dict, _table)
for _origins, _hook in _HOOKS:
    _converter.register_structure_hook_func(_has_origin(*_origins), _hook)
