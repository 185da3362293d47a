"""stats.jsonl: every number of the log, one JSON object a line, for scripts."""

import json
import os
import time
from collections.abc import Mapping

from gancore.components import component
from gancore.contracts import Run


@component
class Stats:
    """Appends `{"step": ..., "time": <unix seconds>, <name>: <number>, ...}` to stats.jsonl in the run folder.

    A resumed run first drops the lines after its checkpoint, so that no step stands there twice.
    """

    def train_started(self, run: Run) -> None:
        path = run.folder / "stats.jsonl"
        if not path.exists():
            return
        kept = [line for line in path.read_text("utf-8").splitlines(keepends=True) if _step(line) <= run.step]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(kept), "utf-8")
        os.replace(temporary, path)

    def logged(self, run: Run, numbers: Mapping[str, float]) -> None:
        line = json.dumps({"step": run.step, "time": round(time.time(), 3), **numbers})
        with (run.folder / "stats.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _step(line: str) -> float:
    """The step of a line; a line that was cut off while it was written belongs to no step that counts."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
