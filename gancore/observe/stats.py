"""stats.jsonl: every number of the log, one JSON object a line, for scripts."""

import json
import time
from collections.abc import Mapping

from gancore.components import component
from gancore.contracts import Run
from gancore.observe.lines import drop_after


@component
class Stats:
    """Appends `{"step": ..., "time": <unix seconds>, <name>: <number>, ...}` to stats.jsonl in the run folder.

    A resumed run first drops the lines after its checkpoint, so that no step stands there twice.
    """

    def train_started(self, run: Run) -> None:
        drop_after(run.folder / "stats.jsonl", run.step)

    def logged(self, run: Run, numbers: Mapping[str, float]) -> None:
        line = json.dumps({"step": run.step, "time": round(time.time(), 3), **numbers})
        with (run.folder / "stats.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
