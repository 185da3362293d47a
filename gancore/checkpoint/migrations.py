"""Older checkpoints, brought up to date when they are read.

A format's number rises when a state is laid out differently, and with it comes a function here that makes a state of
the format before one of this format. So every checkpoint of every released gancore loads.
"""

from collections.abc import Callable
from typing import Any

State = dict[str, Any]


def migrated(state: State, version: int) -> State:
    """A state of format `version`, as the newest format has it. A capsule's is migrated inside."""
    inner = state["state"] if "sighting" in state else state
    for number in range(version, max(MIGRATIONS, default=0) + 1):
        MIGRATIONS[number](inner)
    return state


def _from_1(state: State) -> None:
    """Format 2 counts damaged samples, and fetches the probes of several steps together."""
    state["feed"].setdefault("damaged", {})
    probe = state["components"].get("health/probe")
    if probe is not None:
        probe["collected"], probe["closed"] = probe.pop("measured"), []


MIGRATIONS: dict[int, Callable[[State], None]] = {1: _from_1}
"""By the format that they start from."""
