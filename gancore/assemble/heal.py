"""Healing: a run that a fatal finding has ended goes back to a healthy checkpoint and on with one remedy.

Nothing is hidden: every attempt stands in `healed.jsonl` of the run folder, and experiment.toml is the mended one.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from gancore import checkpoint
from gancore.assemble.build import assemble
from gancore.assemble.folder import record
from gancore.contracts import Change, Finding
from gancore.errors import RunFolderError, UserError
from gancore.experiment import Experiment, read
from gancore.experiment.fix import apply
from gancore.experiment.write import write
from gancore.health.record import HEALED
from gancore.observe.health import read_findings
from gancore.registry import Registry
from gancore.training.run import Run

MOST = 3  # attempts
# What a network is made of cannot change under a checkpoint's weights; such a remedy begins anew.
STRUCTURAL = ("model", "generator", "discriminator", "data")


def heal(
    experiment: Experiment, folder: Path, fatal: Iterable[Finding], holding: Iterable[Finding] = ()
) -> tuple[Experiment, Run, str] | None:
    """The mended experiment, a run of it that stands at a healthy checkpoint (or at the start), and what was done.

    One remedy at a time: that of the first fatal finding, or of the finding that it follows from. Random streams are
    new, so that the same bad luck does not come again.

    Args:
        fatal: what has ended the run; holding: all findings that held then.

    Returns:
        None if there is no remedy, or MOST attempts were made.
    """
    attempts = audit(folder)
    roots = {finding.key: finding for finding in holding}
    finding = next((f for f in (roots.get(f.because, f) for f in fatal) if f.changes), None)
    if finding is None or len(attempts) >= MOST:
        return None
    seed = experiment.train.seed + 1
    changes = (*finding.changes, Change(("train", "seed"), seed))
    text = apply(write(experiment), changes)
    file = folder / ".healed.toml"
    try:
        file.write_text(text, "utf-8")
        mended = attrs.evolve(read(file, Registry.discover()), source=experiment.source)
    except UserError:  # the remedy does not fit this experiment
        return None
    finally:
        file.unlink(missing_ok=True)
    state, step = _healthy(folder, finding)
    if state is None or any(change.path[0] in STRUCTURAL for change in finding.changes):
        state, step = None, 0
    run = assemble(mended, make_folder=lambda: folder)
    if state is not None:
        run.adopt(state)
    for later in checkpoint.folders(folder):
        if checkpoint.step_of(later) > step:
            checkpoint.set_aside(later, "sick")
    run.save()  # now: the checkpoint of before does not fit the mended experiment
    record(mended, folder)
    entry = {
        "attempt": len(attempts) + 1,
        "finding": finding.key,
        "found_at": finding.step,
        "back_to": step,
        "changes": [attrs.asdict(change) for change in changes],
    }
    with (folder / HEALED).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")
    words = (
        f"healing, attempt {entry['attempt']} of {MOST}: {finding.code} in {finding.where} at step {finding.step}; "
        f"back to step {step}; {finding.remedy}"
    )
    return mended, run, words


def audit(folder: Path) -> list[dict[str, Any]]:
    """The attempts so far; one that cannot be read is an empty table, and counts."""
    try:
        lines = (folder / HEALED).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [_table(line) for line in lines]


def _table(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _healthy(folder: Path, finding: Finding) -> tuple[dict[str, Any] | None, int]:
    """The newest checkpoint from before the finding, and its step."""
    first = [
        entry["first_step"]
        for entry in read_findings(folder)
        if (entry.get("code"), entry.get("where")) == (finding.code, finding.where)
    ]
    limit = min([*first, finding.step])
    for candidate in reversed(checkpoint.folders(folder)):
        step = checkpoint.step_of(candidate)
        if step < limit:
            try:
                return checkpoint.load(candidate), step
            except RunFolderError:
                continue
    return None, 0
