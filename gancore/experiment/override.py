"""`--set train.steps=100`: change one value of a document before it is structured."""

import re
from typing import Any

from gancore.errors import ExperimentError, Problem
from gancore.experiment import toml
from gancore.experiment.path import Path, show
from gancore.experiment.plain import plain

_LONGEST = 200  # characters of an override that a message repeats


def named(override: str) -> str:
    """How messages name an override."""
    return plain(f"--set {override}", _LONGEST)


def parse(override: str) -> tuple[Path, Any]:
    """Split `a.b=v` into a path and a value. The value is read as TOML, and as a plain string where it is no TOML.

    Raises:
        ExperimentError: there is no `=`, an empty key, or one deeper than any option.
    """
    key, equals, text = override.partition("=")
    key = re.sub(r"\[(\d+)\]", r".\1", key)  # regularizer[0].weight, as messages say it
    parts = [part.strip().strip("\"'") for part in key.split(".")]
    if not equals or not all(parts) or len(parts) > toml.DEEPEST:
        raise ExperimentError([Problem(0, 0, "", "expected KEY=VALUE, such as train.steps=100", named(override))])
    path: Path = tuple(int(part) if re.fullmatch("[0-9]{1,6}", part) else part for part in parts)
    try:
        read = toml.loads(f"v = {text.strip()}")
    except (ValueError, RecursionError):
        return path, text.strip()
    return path, read["v"] if len(read) == 1 else text.strip()  # a line break may have begun another key


def apply(tables: dict[str, Any], path: Path, value: Any, source: str) -> None:
    """Set `value` at `path`, making tables on the way.

    Raises:
        ExperimentError: the path leads through something that is no table, or past the end of an array.
    """
    at: Any = tables
    for i, part in enumerate(path):
        last = i == len(path) - 1
        if isinstance(at, list) and isinstance(part, int) and part < len(at):
            if last:
                at[part] = value
            else:
                at = at[part]
        elif isinstance(at, dict):
            key = str(part)
            if last:
                at[key] = value
            elif isinstance(path[i + 1], int) and key not in at:
                message = f'is not in the file; write all of it, such as {show((key,))}=[{{name = "..."}}]'
                raise ExperimentError([Problem(0, 0, show(path[: i + 1]), message, source)])
            else:
                at = at.setdefault(key, {})
        else:
            message = f"is an array of {len(at)}; say which, from 0" if isinstance(at, list) else "is no table"
            raise ExperimentError([Problem(0, 0, show(path[:i]), message, source)])
