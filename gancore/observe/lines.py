"""Files of JSON lines that a resumed run goes on with."""

import json
import os
from pathlib import Path


def drop_after(path: Path, step: int) -> None:
    """Take away the lines of later steps, and one that was cut off while it was written."""
    if not path.exists():
        return
    kept = [line for line in path.read_text("utf-8", errors="replace").splitlines(keepends=True) if _step(line) <= step]
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept), "utf-8")
    os.replace(temporary, path)


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
