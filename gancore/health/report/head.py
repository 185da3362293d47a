"""The head of the report: what was trained, what to think of it, and the last numbers."""

import datetime
import json

from gancore import __version__
from gancore.health.record import PROBES, Record
from gancore.health.report.escaped import say
from gancore.health.triage import count, verdict
from gancore.health.words import MAIN, meaning, number, short

STATE = {
    "healthy": "Healthy", "not judged": "Not judged", "recovered": "Recovered", "note": "Note", "warn": "Warning",
    "fatal": "Fatal",
}  # fmt: skip


def facts(record: Record) -> str:
    rows = {
        "Data": _selected(record, "data"),
        "Model": _selected(record, "model")
        or " / ".join(found for role in ("generator", "discriminator") if (found := _selected(record, role))),
        "Loss": _selected(record, "loss"),
        "Regularizers": _selected(record, "regularizer"),
        "Optimizer": _selected(record, "optimizer")
        or " / ".join(
            found for role in ("generator", "discriminator") if (found := _selected(record, "optimizer", role))
        ),
        "Steps": _steps(record),
        "Batch": _settings(record, ("batch_size", ""), ("n_critic", "n_critic "), ("seed", "seed ")),
        "Device": _settings(record, ("device", ""), ("precision", "")),
        "Trained": _when(record),
        "Report": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, gancore {__version__}",
    }
    shown = "".join(f"<dt>{word}</dt><dd>{say(value)}</dd>" for word, value in rows.items() if value)
    return f"<dl>{shown}</dl>"


def _selected(record: Record, *path: str) -> str:
    """The name that a table selects, or the names that an array of tables does."""
    found = record.setting(*path)
    tables = found if isinstance(found, list) else [found]
    names = [str(table["name"]).rpartition("/")[2] for table in tables if isinstance(table, dict) and "name" in table]
    return ", ".join(names)


def _settings(record: Record, *wanted: tuple[str, str]) -> str:
    found = [(record.setting("train", key), word) for key, word in wanted]
    return ", ".join(f"{word}{value}" for value, word in found if value is not None)


def _steps(record: Record) -> str:
    planned = record.setting("train", "steps")
    of = f" of {planned:,}" if isinstance(planned, int) and planned != record.last.step else ""
    return f"{record.last.step:,}{of}; {count(record.probes, 'probe')}"


def _when(record: Record) -> str:
    """From the clock of stats.jsonl, else from the file."""
    try:
        *_, last = (record.folder / "stats.jsonl").read_text("utf-8").splitlines()
        end = float(json.loads(last)["time"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        end = (record.folder / PROBES).stat().st_mtime
    try:
        return f"{datetime.datetime.fromtimestamp(end, datetime.UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return ""


def banner(record: Record) -> str:
    found = verdict(record)
    skipped = f"<p class=skipped>Not readable, and left out: {_listed(record.skipped)}.</p>" if record.skipped else ""
    healed = "".join(f"<p>Healed at {say(healing)}.</p>" for healing in record.healed)
    return (
        f'<section class="verdict {found.state.replace(" ", "-")}">'
        f"<strong>{STATE[found.state]}</strong><p>{say(found.words)}</p>{healed}{skipped}</section>"
    )


def _listed(things: tuple[str, ...]) -> str:
    return say(", ".join(things[:5]) + (f" and {len(things) - 5} more" if len(things) > 5 else ""))


def numbers_table(record: Record) -> str:
    numbers = record.measured.numbers
    found = [(name, numbers[name]) for name in MAIN if name in numbers]
    rows = "".join(
        f"<tr><th>{say(short(name))}</th><td>{number(value)}</td><td>{say(meaning(name, value))}</td></tr>"
        for name, value in found
    )
    if not rows:
        return ""
    return (
        f"<h2>The last probe</h2><table><caption>Step {record.measured.step:,}.</caption><tbody>{rows}</tbody></table>"
    )
