"""Paths into the tables of a document: `("regularizer", 1, "weight")`."""

import json
import re

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 60  # characters of one part


def show(path: Path) -> str:
    """As people write it: `regularizer[1].weight`; in quotes what is no bare key of TOML, and cut what is very long."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = _BARE.fullmatch(part)
            part = part if len(part) <= _LONGEST else f"{part[: _LONGEST - 3]}..."
            text += ("." if text else "") + (part if bare else json.dumps(part))
    return text
