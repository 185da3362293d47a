"""Older checkpoints, brought up to date when they are read.

A format's number rises when a state is laid out differently, and with it comes a function here that makes a state of
the format before one of this format. So every checkpoint of every released gancore loads.
"""

from collections.abc import Callable
from typing import Any

import torch

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


def _from_2(state: State) -> None:
    """Format 3 keeps what phases have measured as readings, and counts idle channels by layer, when somebody looks."""
    probe = state["components"].get("health/probe")
    if probe is None:
        return
    probe["idle"] = {}  # which count was of which layer is not known: counting begins anew
    collected = probe.pop("collected")
    labels = [("number", "", name, 1.0) for name in collected]
    probe["open"] = [{"labels": labels, "values": torch.stack(list(collected.values())).double()}] if collected else []
    for closed in probe["closed"]:
        labels, values = closed.pop("labels"), closed.pop("values")
        kept = [place for place, label in enumerate(labels) if label[0] != "dead"]
        for (kind, role, name, _), value in zip(labels, values.tolist(), strict=True):
            if kind == "dead":
                probe["dead"].setdefault(role, {})[name] = value
        closed["readings"] = [{"labels": [labels[place] for place in kept], "values": values[kept]}]


def _from_3(state: State) -> None:
    """Format 4 keeps numbers for the log in rows."""
    state["numbers"] = [{"names": [name], **kept} for name, kept in state["numbers"].items()]


MIGRATIONS: dict[int, Callable[[State], None]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""By the format that they start from."""
