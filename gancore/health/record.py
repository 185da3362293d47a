"""What a run folder remembers of its health, read with suspicion: it may be damaged, or somebody else's."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from attrs import define

from gancore.contracts import ROLES, Role, Vitals
from gancore.errors import RunFolderError
from gancore.health.entries import Held, healing_of, held_of, plain, probe_of, table

PROBES, FINDINGS, HEALED, EXPERIMENT = "health.jsonl", "health.json", "healed.jsonl", "experiment.toml"
MOST = 200  # findings that are kept; a run has a handful

T = TypeVar("T")


@define(eq=False, slots=False)
class Record:
    """A run folder's health.

    Attributes:
        probes: in the order of their steps, at least one.
        text, tables: its experiment.toml, as text and as plain tables that nobody has checked.
        healed: what healing has changed on the way, in words.
        holding: the findings that held at the last probe, as `code where`.
        warm_up: the steps at the start that were not judged.
        skipped: lines and findings that could not be read, in words.
    """

    folder: Path
    probes: tuple[Vitals, ...]
    findings: tuple[Held, ...]
    text: str = ""
    tables: Mapping[str, Any] = {}
    healed: tuple[str, ...] = ()
    holding: frozenset[str] = frozenset()
    warm_up: int = 0
    skipped: tuple[str, ...] = ()

    @property
    def last(self) -> Vitals:
        return self.probes[-1]

    @property
    def measured(self) -> Vitals:
        """The last probe with numbers: what ends a run that became NaN has none."""
        return next((probe for probe in reversed(self.probes) if probe.numbers), self.last)

    def holds(self, held: Held) -> bool:
        """Whether the finding still held at the last probe."""
        return held.last >= self.last.step or plain(held.key) in self.holding

    def setting(self, *path: str) -> Any:
        """A value of experiment.toml; None where there is none."""
        at: Any = self.tables
        for part in path:
            at = at.get(part) if isinstance(at, Mapping) else None
        return at

    @cached_property
    def layers(self) -> Mapping[Role, tuple[str, ...]]:
        """The names of all layers that were ever met, in the order of the forward pass."""
        found: dict[Role, tuple[str, ...]] = {}
        for role in ROLES:
            names = dict.fromkeys(name for probe in self.probes for name in probe.layers.get(role, {}))
            if names:
                found[role] = tuple(names)
        return found


def read(folder: Path) -> Record:
    """Read a run folder.

    Raises:
        RunFolderError: it is none, or its run was not probed.
    """
    text, tables = _experiment(folder)
    file = folder / PROBES
    if not file.is_file():
        raise RunFolderError(_why_not_probed(folder, tables), folder)
    skipped: list[str] = []
    probes = {line[0].step: line for line in _lines(file, probe_of, skipped)}  # of two for a step the later one
    if not probes:
        raise RunFolderError("has no line that can be read", file)
    ordered, holding = zip(*(probes[step] for step in sorted(probes)), strict=True)
    findings = tuple(_findings(folder, skipped))
    healed = tuple(_lines(folder / HEALED, healing_of, skipped)) if (folder / HEALED).is_file() else ()
    warm_up = _warm_up(folder, tables)
    return Record(folder, ordered, findings, text, tables, healed, holding[-1], warm_up, tuple(skipped))


# ------------------------------------------------------------------------------------------------------- the files


def _experiment(folder: Path) -> tuple[str, Mapping[str, Any]]:
    file = folder / EXPERIMENT
    if not file.is_file():
        raise RunFolderError(f"is no run folder (it has no {EXPERIMENT})", folder)
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(1 << 20)  # as much as an experiment file may have
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror or error}", file) from error
    try:
        return text, tomllib.loads(text)
    except (ValueError, RecursionError):
        return text, {}


def _why_not_probed(folder: Path, tables: Mapping[str, Any]) -> str:
    health = tables.get("health")
    said = f"has no {PROBES}: "
    if not isinstance(health, Mapping):
        return f"{said}it is from a gancore that did not measure gradients yet; train it again"
    if health.get("probe") is False:
        return f"{said}[health] probe is off in its {EXPERIMENT}; train again with --set health.probe=true"
    if not (folder / FINDINGS).is_file():
        return f'{said}the callback "health" writes it, and this run has none; add [[callback]] name = "health"'
    return f"{said}it ended before its first probe, at step {health.get('every')} ([health] every)"


def _findings(folder: Path, skipped: list[str]) -> Iterator[Held]:
    try:
        entries = json.loads((folder / FINDINGS).read_text("utf-8", errors="replace"))["findings"]
        entries = entries[:MOST] if isinstance(entries, list) else [None]
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        entries = [None]
    for number, entry in enumerate(entries, 1):
        try:
            yield held_of(table(entry))
        except (ValueError, TypeError, KeyError, RecursionError):
            skipped.append(f"{FINDINGS}: finding {number}" if entry is not None else FINDINGS)


def _warm_up(folder: Path, tables: Mapping[str, Any]) -> int:
    """As the run has written it down; a share of the steps depends on the size of the data, too."""
    try:
        found = json.loads((folder / FINDINGS).read_text("utf-8", errors="replace"))["warm_up"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        health = tables.get("health")
        found = health.get("warm_up") if isinstance(health, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def _lines(file: Path, parse: Callable[[Any], T], skipped: list[str]) -> Iterator[T]:
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror or error}", file) from error
    for number, line in enumerate(lines, 1):
        try:
            yield parse(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError):
            skipped.append(f"{file.name}:{number}")
