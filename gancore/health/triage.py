"""Findings in the order in which to mend them, and what they say about the run as a whole."""

from collections.abc import Iterable, Sequence
from typing import Literal

from attrs import frozen

from gancore.contracts import Severity
from gancore.health.entries import Held
from gancore.health.record import Record

GRAVITY: dict[Severity, int] = {"fatal": 0, "warn": 1, "note": 2}
State = Literal["healthy", "not judged", "recovered", "note", "warn", "fatal"]


@frozen
class Placed:
    """A finding in the tree of causes.

    Attributes:
        depth: 0 for what stands on its own; what follows from it comes after it, one deeper.
        same_as: an earlier finding whose remedy is the same change, as `code where`; empty if there is none.
    """

    held: Held
    depth: int
    same_as: str = ""


@frozen
class Verdict:
    """What to think of a run.

    Attributes:
        state: the gravest severity that holds at the last probe; `recovered` if findings held before, but none does
            now; `not judged` if every probe lies in the warm-up.
        words: one sentence.
    """

    state: State
    words: str


def in_order(record: Record) -> list[Placed]:
    """Fatal before warn before note; what follows from another finding comes after it, and lends it its gravity."""
    following: dict[str, list[Held]] = {}
    for held in record.findings:
        following.setdefault(held.finding.because, []).append(held)

    def weight(held: Held, above: frozenset[str] = frozenset()) -> tuple[int, bool, int, str]:
        own = (GRAVITY[held.finding.severity], not record.holds(held), held.first, held.key)
        above |= {held.key}
        others = [weight(other, above)[:2] for other in following.get(held.key, ()) if other.key not in above]
        return (*min([own[:2], *others]), *own[2:])

    weights = {held.key: weight(held) for held in record.findings}
    waiting = sorted({held.key: held for held in record.findings}.values(), key=lambda held: weights[held.key])
    known = weights.keys()
    placed: list[Placed] = []
    remedies: dict[str, str] = {}

    def place(held: Held, depth: int) -> None:
        waiting.remove(held)
        changes = repr(held.finding.changes)  # values of somebody's file: not everything can be hashed
        same_as = remedies.setdefault(changes, held.key) if held.finding.changes and not depth else held.key
        placed.append(Placed(held, depth, "" if same_as == held.key else same_as))
        for other in list(waiting):
            if other.finding.because == held.key and other in waiting:
                place(other, depth + 1)

    while waiting:
        roots = (held for held in waiting if held.finding.because not in known)
        place(next(roots, waiting[0]), 0)  # two that explain each other: the graver one
    return placed


def verdict(record: Record) -> Verdict:
    """What to think of the run, in one sentence."""
    holding = [placed.held for placed in in_order(record) if record.holds(placed.held)]
    first, last = record.probes[0].step, record.last.step
    when = f"{count(record.probes, 'probe')}, " + (f"steps {first:,} to {last:,}" if first != last else f"step {last}")
    if holding:
        worst = min(holding, key=lambda held: GRAVITY[held.finding.severity]).finding  # the first of the gravest
        where = f" in {worst.where}" if worst.where else ""
        root = f", from {worst.because}" if worst.because else ""
        others = f"; {count(holding[1:], 'other finding')} at the same time" if holding[1:] else ""
        return Verdict(worst.severity, f"{worst.code}{where} holds at the last probe, step {last:,}{root}{others}.")
    if record.findings:
        return Verdict(
            "recovered", f"Nothing holds at the last probe, step {last:,}; {_some(record.findings)} did before."
        )
    if last <= record.warm_up:
        return Verdict("not judged", f"All probes ({when}) lie in the warm-up of {record.warm_up:,} steps.")
    return Verdict("healthy", f"No finding ({when}).")


def duration(record: Record, held: Held) -> str:
    """When a finding held."""
    if record.holds(held):
        return f"since step {held.first:,}" if held.first != held.last else f"at step {held.last:,}"
    return f"steps {held.first:,} to {held.last:,}" if held.first != held.last else f"at step {held.last:,} only"


def _some(findings: Sequence[Held]) -> str:
    return ", ".join(dict.fromkeys(held.finding.code for held in findings))


def count(things: Iterable[object], name: str) -> str:
    number = len(list(things))
    return f"{number:,} {name}" + ("" if number == 1 else "s")
