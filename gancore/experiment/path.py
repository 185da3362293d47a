"""Paths into the tables of a document: `("regularizer", 1, "weight")`."""

Path = tuple[str | int, ...]


def show(path: Path) -> str:
    """As people write it: `regularizer[1].weight`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
