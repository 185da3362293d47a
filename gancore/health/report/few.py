"""Fewer of many: probes that are drawn, names of layers that can be read."""


def thinned(count: int, most: int) -> list[int]:
    """Indices, evenly spread, of at most so many; the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def every(count: int, most: int) -> list[int]:
    """Indices at one distance from each other, at most so many: of names, which are read one after the other."""
    return list(range(0, count, max(1, -(-count // most))))


def shortened(name: str, most: int = 26) -> str:
    """The name of a layer where there is little room: parts without a number tell the least, then the middle."""
    for letters in (3, 1):
        if len(name) > most:
            parts = name.split(".")
            name = ".".join(part if any(c.isdigit() for c in part) else part[:letters] for part in parts)
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
