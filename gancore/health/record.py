"""What a run folder remembers of its health, read with suspicion: it may be damaged, or somebody else's."""

import json
import math
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

from attrs import define, frozen

from gancore.contracts import ROLES, Change, Finding, Role, Severity, Vitals
from gancore.errors import RunFolderError

PROBES, FINDINGS, EXPERIMENT = "health.jsonl", "health.json", "experiment.toml"
LONGEST = 500  # characters of a text that are kept
MOST = 200  # findings that are kept; a run has a handful


@frozen
class Held:
    """A finding, and for how long it held.

    Attributes:
        first, last: the steps of the first and the last probe at which it did.
    """

    finding: Finding
    first: int
    last: int

    @property
    def key(self) -> str:
        return f"{self.finding.code} {self.finding.where}"


@define(eq=False, slots=False)
class Record:
    """A run folder's health.

    Attributes:
        probes: in the order of their steps, at least one.
        text, tables: its experiment.toml, as text and as plain tables that nobody has checked.
        skipped: lines and findings that could not be read, in words.
    """

    folder: Path
    probes: tuple[Vitals, ...]
    findings: tuple[Held, ...]
    text: str = ""
    tables: Mapping[str, Any] = {}
    skipped: tuple[str, ...] = ()

    @property
    def last(self) -> Vitals:
        return self.probes[-1]

    @property
    def warm_up(self) -> int:
        """The steps at the start that were not judged."""
        steps, warm_up = self.setting("train", "steps"), self.setting("health", "warm_up")
        share = steps // 100 if isinstance(steps, int) else 0
        return max(warm_up if isinstance(warm_up, int) else 0, share)

    def holds(self, held: Held) -> bool:
        """Whether the finding still held at the last probe."""
        return held.last >= self.last.step

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
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror or error}", file) from error
    probes: dict[int, Vitals] = {}
    for number, line in enumerate(lines, 1):
        try:
            probe = _probe(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError):
            skipped.append(f"{PROBES}:{number}")
            continue
        probes[probe.step] = probe
    if not probes:
        raise RunFolderError("has no line that can be read", file)
    ordered = tuple(probes[step] for step in sorted(probes))
    return Record(folder, ordered, tuple(_findings(folder, skipped)), text, tables, tuple(skipped))


def plain(text: str) -> str:
    """One line of text without anything that a terminal, a browser or a file would take for more than that."""
    shown = "".join("�" if unicodedata.category(c)[0] == "C" else c for c in " ".join(text.split()))
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


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


def _probe(line: Any) -> Vitals:
    layers: dict[Role, dict[str, dict[str, float]]] = {}
    for role in ROLES:
        found = _table(line["layers"]).get(role, {})
        layers[role] = {
            plain(name): {"gradient": _number(gradient), "dead": _number(dead)}
            for name, (gradient, dead) in _table(found).items()
        }
    numbers = {plain(name): _number(value) for name, value in _table(line["numbers"]).items()}
    return Vitals(_step(line["step"]), numbers, {role: found for role, found in layers.items() if found})


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
            yield _held(_table(entry))
        except (ValueError, TypeError, KeyError, RecursionError):
            skipped.append(f"{FINDINGS}: finding {number}" if entry is not None else FINDINGS)


def _held(entry: Mapping[str, Any]) -> Held:
    if entry["severity"] not in get_args(Severity):
        raise ValueError("no severity")
    link = _word(entry.get("link", ""))
    finding = Finding(
        code=_word(entry["code"]),
        severity=entry["severity"],
        where=_word(entry["where"]),
        evidence={plain(name): _number(value) for name, value in _table(entry["evidence"]).items()},
        threshold=_word(entry["threshold"]),
        cause=_word(entry["cause"]),
        remedy=_word(entry["remedy"]),
        changes=tuple(_changes(entry.get("changes", ()))),
        link=link if link.startswith(("https://", "http://")) else "",  # never javascript:
        step=_step(entry["last_step"]),
        because=_word(entry.get("because", "")),
    )
    if finding.because == f"{finding.code} {finding.where}":
        raise ValueError("its own cause")
    return Held(finding, _step(entry["first_step"]), finding.step)


def _changes(entries: Iterable[Any]) -> Iterator[Change]:
    for entry in entries:
        path = entry["path"]
        if not (isinstance(path, list) and path and all(isinstance(part, str) for part in path)):
            raise ValueError("no path")
        yield Change(tuple(path), entry["value"])


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("no table")
    return cast(Mapping[str, Any], value)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return plain(value)


def _step(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError("no step")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("no number")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
