"""A remedy as a change of the experiment file that people can read."""

import unicodedata
from collections.abc import Iterable

from gancore.contracts import Change
from gancore.experiment import fix

LONGEST = 200  # characters of a line
MOST = 60  # lines


def diff(text: str, changes: Iterable[Change], name: str = "experiment.toml") -> list[str]:
    """The lines of a unified diff; none where nothing would change, or where the changes do not fit the text."""
    changes = tuple(changes)
    if not changes:
        return []
    try:
        lines = fix.diff(text, changes, name).splitlines()
    except Exception:  # the text or the changes are somebody else's, and may be anything
        return []
    return [_shown(line) for line in lines[:MOST]]


def _shown(line: str) -> str:
    """Without control characters: it is printed to terminals."""
    return "".join("�" if unicodedata.category(c)[0] == "C" else c for c in line.expandtabs())[:LONGEST]
