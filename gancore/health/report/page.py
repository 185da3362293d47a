"""The report: one HTML file, readable offline, fit for a paper's appendix.

Nothing in it is fetched and nothing runs: figures are SVG in the page, samples are data, and a policy in its head
forbids the rest. All words of the run folder are escaped: it may be somebody else's.
"""

import datetime
import json
from collections.abc import Callable, Iterable, Iterator
from html import escape
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gancore import __version__
from gancore.contracts import Finding
from gancore.health.prescription import diff
from gancore.health.record import Held, Record, plain
from gancore.health.report import samples
from gancore.health.report.export import inline
from gancore.health.report.style import styled
from gancore.health.triage import Placed, in_order, verdict
from gancore.health.words import MAIN, meaning, number, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATE = {
    "healthy": "Healthy", "not judged": "Not judged", "over": "Over", "note": "Note", "warn": "Warning",
    "fatal": "Fatal",
}  # fmt: skip

METHOD = (
    "Every {every} steps one step is measured where its gradients pass by anyway, before they are clipped. The norm of "
    "the generator's gradient is the product of three factors, ‖∂L/∂θ‖ = A·B·C: the slope of the loss at the "
    "discriminator's scores, A = mean N|∂L/∂s|; the slope of the discriminator at the fakes, B = mean ‖∂s/∂x‖; and what "
    "the generator's own layers make of it, C. A finding is believed once it was seen in consecutive probes after the "
    "warm-up of {warm_up:,} steps."
)


def page(record: Record) -> str:
    """The whole page. Takes a second or two."""
    name = str(record.setting("name") or record.folder.name)
    body = "\n".join(
        (
            f"<header><p class=kicker>gancore · gradient health</p><h1>{_say(name)}</h1>{_facts(record)}</header>",
            _verdict(record),
            *_findings(record),
            _numbers(record),
            *_figures(record),
            _closing(record),
        )
    )
    style = files("gancore.health.report").joinpath("page.css").read_text("utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_say(name)}: gradient health</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _say(text: object) -> str:
    return escape(plain(str(text)))


# ------------------------------------------------------------------------------------------------------------- head


def _facts(record: Record) -> str:
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
    shown = "".join(f"<dt>{word}</dt><dd>{_say(value)}</dd>" for word, value in rows.items() if value)
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
    return f"{record.last.step:,}{of}; {len(record.probes):,} probes"


def _when(record: Record) -> str:
    """From the clock of stats.jsonl, else from the file."""
    file = record.folder / "stats.jsonl"
    try:
        lines = file.read_text("utf-8").splitlines()
        begin, end = (float(json.loads(line)["time"]) for line in (lines[0], lines[-1]))
        length = f", {datetime.timedelta(seconds=round(end - begin))} from the first to the last look"
    except (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError):
        end, length = (record.folder / "health.jsonl").stat().st_mtime, ""
    try:
        return f"{datetime.datetime.fromtimestamp(end, datetime.UTC):%Y-%m-%d %H:%M} UTC{length}"
    except (ValueError, OverflowError, OSError):
        return ""


def _verdict(record: Record) -> str:
    found = verdict(record)
    skipped = f"<p class=skipped>Not readable, and left out: {_listed(record.skipped)}.</p>" if record.skipped else ""
    return (
        f'<section class="verdict {found.state.replace(" ", "-")}">'
        f"<strong>{STATE[found.state]}</strong><p>{_say(found.words)}</p>{skipped}</section>"
    )


def _listed(things: tuple[str, ...]) -> str:
    return _say(", ".join(things[:5]) + (f" and {len(things) - 5} more" if len(things) > 5 else ""))


# --------------------------------------------------------------------------------------------------------- findings


def _findings(record: Record) -> Iterator[str]:
    placed = in_order(record)
    if placed:
        yield "<h2>Findings</h2>"
    for item in placed:
        yield _finding(record, item)


def _finding(record: Record, item: Placed) -> str:
    held, finding = item.held, item.held.finding
    deep = min(item.depth, 3)
    return (
        f'<article class="finding {finding.severity}{" ended" if not record.holds(held) else ""} deep-{deep}">'
        f"<h3><span class=severity>{finding.severity}</span> <code>{_say(finding.code)}</code> "
        f"<span class=where>{_say(finding.where)}</span> <span class=steps>{_say(duration(record, held))}</span></h3>"
        f"<p>{_say(finding.cause)}</p>"
        f"<p class=evidence>{_evidence(finding)}</p>"
        f"{_remedy(record, item)}</article>"
    )


def duration(record: Record, held: Held) -> str:
    """When a finding held."""
    if record.holds(held):
        return f"since step {held.first:,}" if held.first != held.last else f"at step {held.last:,}"
    return f"steps {held.first:,} to {held.last:,}" if held.first != held.last else f"at step {held.last:,} only"


def _evidence(finding: Finding) -> str:
    numbers = "".join(f"<span>{_say(n)} <b>{number(v)}</b></span> " for n, v in finding.evidence.items())
    return f"{numbers}<span>judged by: {_say(finding.threshold)}</span>"


def _remedy(record: Record, item: Placed) -> str:
    finding = item.held.finding
    if finding.because:
        return f"<p class=remedy>Follows from <code>{_say(finding.because)}</code>: mend that first.</p>"
    link = f' <a href="{escape(finding.link)}">{_say(finding.link.split("://", 1)[1])}</a>' if finding.link else ""
    said = f"<p class=remedy><b>Remedy.</b> {_say(finding.remedy)}{link}</p>"
    if item.same_as:
        return f"{said}<p class=remedy>The same change as for <code>{_say(item.same_as)}</code>.</p>"
    lines = diff(record.text, finding.changes)[2:]
    return said + (f"<pre class=diff>{_coloured(lines)}</pre>" if lines else "")


def _coloured(lines: Iterable[str]) -> str:
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return "".join(f"<span class={kinds.get(line[:1], 'kept')}>{escape(line)}</span>\n" for line in lines)


# ---------------------------------------------------------------------------------------------- numbers and figures


def _numbers(record: Record) -> str:
    numbers = record.last.numbers
    rows = "".join(
        f"<tr><th>{_say(short(name))}</th><td>{number(numbers[name])}</td><td>{_say(meaning(name, numbers[name]))}</td></tr>"
        for name in MAIN
        if name in numbers
    )
    if not rows:
        return ""
    return f"<h2>The last probe</h2><table><caption>Step {record.last.step:,}.</caption><tbody>{rows}</tbody></table>"


def _figures(record: Record) -> Iterator[str]:
    """Those that the record has numbers for."""
    names = record.last.numbers.keys() | record.probes[0].numbers.keys()
    wanted = (
        ("flow", bool(record.layers)),
        ("factors", bool({"A", "gradient/generator"} & names)),
        ("heat", bool(record.layers)),
        ("balance", bool({"auc", "diversity"} & names)),
        ("depth", any(name.startswith(("rho/", "update/")) for name in names)),
        ("dead", bool(record.layers)),
    )
    count = 0
    for name, there in wanted:
        if not there:
            continue
        count += 1
        make: Callable[[Record], tuple[Figure, str]] = getattr(import_module(f"gancore.health.report.{name}"), name)
        if count == 1:
            yield "<h2>Figures</h2>"
        with styled(text=True):
            figure, caption = make(record)
            drawn = inline(figure, f"figure-{count}")
        yield _figure(count, drawn, caption)
    if pictures := samples.samples(record.folder):
        yield _figure(count + 1, _contact_sheet(pictures), samples.CAPTION)


def _figure(count: int, content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption><b>Figure {count}.</b> {escape(caption)}</figcaption></figure>"


def _contact_sheet(pictures: list[samples.Sample]) -> str:
    cells = "".join(
        f'<div><img src="data:image/png;base64,{picture.data}" alt="samples at step {picture.step}">'
        f"<span>step {picture.step:,}</span></div>"
        for picture in pictures
    )
    return f"<div class=samples>{cells}</div>"


def _closing(record: Record) -> str:
    every: Any = record.setting("health", "every")
    method = METHOD.format(every=_say(every) if isinstance(every, int) else "few", warm_up=record.warm_up)
    lines = "\n".join(escape("".join(c if c.isprintable() else "�" for c in line)) for line in record.text.splitlines())
    return (
        f"<footer><h2>Method</h2><p>{method}</p>"
        f"<details><summary>The experiment, with every option</summary><pre>{lines}</pre></details></footer>"
    )
