"""One entry of a run folder's files of health, read with suspicion: it may be damaged, or somebody else's."""

import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast, get_args

from attrs import frozen

from gancore.contracts import ROLES, Change, Finding, Role, Severity, Vitals

LONGEST = 500  # characters of a text that are kept


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
        return self.finding.key


def probe_of(line: Any) -> tuple[Vitals, frozenset[str]]:
    """A line of health.jsonl: what was measured, and the findings that held, as `code where`."""
    layers: dict[Role, dict[str, dict[str, float]]] = {}
    for role in ROLES:
        found = table(line["layers"]).get(role, {})
        layers[role] = {
            plain(name): {"gradient": _number(gradient), "dead": _number(dead)}
            for name, (gradient, dead) in table(found).items()
        }
    numbers = {plain(name): _number(value) for name, value in table(line["numbers"]).items()}
    holding = frozenset(_word(key) for key in line.get("holding", ()))
    return Vitals(_step(line["step"]), numbers, {role: found for role, found in layers.items() if found}), holding


def held_of(entry: Mapping[str, Any]) -> Held:
    """An entry of health.json."""
    if entry["severity"] not in get_args(Severity):
        raise ValueError("no severity")
    link = _word(entry.get("link", ""))
    finding = Finding(
        code=_word(entry["code"]),
        severity=entry["severity"],
        where=_word(entry["where"]),
        evidence={plain(name): _number(value) for name, value in table(entry["evidence"]).items()},
        threshold=_word(entry["threshold"]),
        cause=_word(entry["cause"]),
        remedy=_word(entry["remedy"]),
        changes=tuple(_changes(entry.get("changes", ()))),
        link=link if link.startswith(("https://", "http://")) else "",  # never javascript:
        step=_step(entry["last_step"]),
        because=_word(entry.get("because", "")),
    )
    if finding.because == finding.key:
        raise ValueError("its own cause")
    return Held(finding, _step(entry["first_step"]), finding.step)


def _changes(entries: Iterable[Any]) -> Iterator[Change]:
    for entry in entries:
        path = entry["path"]
        if not (isinstance(path, list) and path and all(isinstance(part, str) for part in path)):
            raise ValueError("no path")
        yield Change(tuple(path), entry["value"])


def healing_of(entry: Any) -> str:
    """A line of healed.jsonl, in words."""
    entry = table(entry)
    changes = ", ".join(
        f"{'.'.join(change.path)} = {json.dumps(change.value)}" for change in _changes(entry["changes"])
    )
    begin = f"step {_step(entry['found_at']):,}: {_word(entry['finding'])}"
    return plain(f"{begin}; back to step {_step(entry['back_to']):,} with {changes}")


def plain(text: str) -> str:
    """One line of text without anything that a terminal, a browser or a file would take for more than that."""
    shown = "".join("�" if unicodedata.category(c)[0] == "C" else c for c in " ".join(text.split()))
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def table(value: Any) -> Mapping[str, Any]:
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
