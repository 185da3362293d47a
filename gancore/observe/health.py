"""What gradient health has measured and found, kept for `gancore doctor`.

health.jsonl   one line a probe: {"step", "numbers", "layers": {role: {layer: [gradient, dead]}}, "holding"}
health.json    the steps that are not judged; every finding so far, with the first and the last step at which it held
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from gancore.components import component, state
from gancore.contracts import SEVERITIES, Finding, Run, Vitals
from gancore.health.entries import held_of, table
from gancore.health.record import FINDINGS, PROBES
from gancore.observe.lines import drop_after


@component
class Health:
    """Writes health.jsonl (every probe) and health.json (every finding) into the run folder.

    A resumed run first drops what is later than its checkpoint.
    """

    found: dict[str, dict[str, Any]] = state(dict)
    warm_up: dict[str, int] = state(dict)  # the steps at the start that are not judged

    def train_started(self, run: Run) -> None:
        drop_after(run.folder / PROBES, run.step)
        self.warm_up["steps"] = max(int(run.settings.get("health.warm_up", 0)), run.steps // 100)
        self.found.clear()
        for entry in read_findings(run.folder):
            if entry["first_step"] <= run.step:
                entry["last_step"] = min(entry["last_step"], run.step)
                self.found[f"{entry['code']} {entry['where']}"] = entry
        self._write(run.folder)

    def probed(self, run: Run, vitals: Vitals, findings: Sequence[Finding]) -> None:
        line = {
            "step": vitals.step,
            "numbers": vitals.numbers,
            "layers": {
                role: {name: [found["gradient"], found["dead"]] for name, found in layers.items()}
                for role, layers in vitals.layers.items()
            },
            "holding": [finding.key for finding in findings],
        }
        with (run.folder / PROBES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for finding in findings:
            key = finding.key
            before = self.found.get(key)
            entry = attrs.asdict(finding) | {"first_step": before["first_step"] if before else finding.step}
            if before and SEVERITIES.index(before["severity"]) > SEVERITIES.index(finding.severity):
                entry = dict(before)  # what it was at its worst
            self.found[key] = entry | {"last_step": finding.step}
        if findings:
            self._write(run.folder)

    def _write(self, folder: Path) -> None:
        temporary = folder / f".{FINDINGS}.tmp"
        tables = {"warm_up": self.warm_up["steps"], "findings": list(self.found.values())}
        temporary.write_text(json.dumps(tables, indent=2) + "\n", "utf-8")
        os.replace(temporary, folder / FINDINGS)


def read_findings(folder: Path) -> list[dict[str, Any]]:
    """The findings of a run folder that can be read, as plain tables; none where health.json is missing or damaged."""
    try:
        found = json.loads((folder / FINDINGS).read_text("utf-8", errors="replace"))["findings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [entry for entry in found if _readable(entry)] if isinstance(found, list) else []


def _readable(entry: Any) -> bool:
    try:
        held_of(table(entry))
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return True
