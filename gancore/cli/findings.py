"""Findings on a terminal, and as plain tables for scripts."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gancore.contracts import Finding

OF_SEVERITY = {"fatal": "bold red", "warn": "bold yellow", "note": "bold blue"}
OF_STATE = {**OF_SEVERITY, "healthy": "bold green", "recovered": "bold green", "not judged": "bold"}
OF_DIFF = {"+": "green", "-": "red", "@": "cyan"}


def say(console: "Console", text: "Text", indent: int = 0) -> None:
    """Wrapped under its indentation on a terminal; in a pipe a line stays a line."""
    lines = text.wrap(console, max(20, console.width - indent)) if console.is_terminal else [text]
    for line in lines:
        line.rstrip()
        console.print(" " * indent, line, sep="", soft_wrap=True)


def heading(finding: "Finding", when: str) -> "Text":
    """Severity, code, place and time."""
    from rich.text import Text

    parts = [(finding.severity, OF_SEVERITY[finding.severity]), "  ", (finding.code, "bold")]
    parts += [f" in {finding.where}"] if finding.where else []
    parts += [(f"  {when}", "dim")] if when else []
    return Text.assemble(*parts)  # type: ignore[arg-type]  # strings and pairs, as it takes them


def evidence(finding: "Finding") -> str:
    """The numbers, and what they are held against."""
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in finding.evidence.items())
    return f"{numbers}; judged by: {finding.threshold}" if numbers else f"judged by: {finding.threshold}"


def show_diff(console: "Console", lines: Sequence[str], indent: int) -> None:
    """Lines of a unified diff; never wrapped, so that they can be copied."""
    from rich.text import Text

    for line in lines:
        style = "bold" if line.startswith(("---", "+++")) else OF_DIFF.get(line[:1], "")
        console.print(" " * indent, Text(line, style), sep="", soft_wrap=True)


def as_table(finding: "Finding", **more: Any) -> dict[str, Any]:
    """A finding as a plain table."""
    import attrs

    return {**attrs.asdict(finding), **more}


def in_json(value: Any) -> str:
    """JSON has no NaN: what is no finite number becomes the text that Python's float() reads."""
    return json.dumps(_strict(value), indent=2, allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def columns(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of aligned columns; those numbered in `right` end at the same place."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
