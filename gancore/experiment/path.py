"""Paths into the tables of a document: `("regularizer", 1, "weight")`."""

import json
import re

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def show(path: Path) -> str:
    """As people write it: `regularizer[1].weight`; in quotes what is no bare key of TOML."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else json.dumps(part))
    return text
