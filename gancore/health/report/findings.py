"""The findings of the report."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from gancore.contracts import Finding
from gancore.health.prescription import diff
from gancore.health.record import Record
from gancore.health.report.escaped import say
from gancore.health.triage import Placed, duration, in_order
from gancore.health.words import number


def findings(record: Record) -> Iterator[str]:
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
        f"<h3><span class=severity>{finding.severity}</span> <code>{say(finding.code)}</code> "
        f"<span class=where>{say(finding.where)}</span> <span class=steps>{say(duration(record, held))}</span></h3>"
        f"<p>{say(finding.cause)}</p>"
        f"<p class=evidence>{_evidence(finding)}</p>"
        f"{_remedy(record, item)}</article>"
    )


def before_the_start(findings: Sequence[Finding]) -> Iterator[str]:
    if findings:
        yield "<h2>Before the first step</h2>"
    for finding in findings:
        link = _link(finding)
        yield (
            f'<article class="finding {finding.severity}"><h3><span class=severity>{finding.severity}</span> '
            f"<code>{say(finding.code)}</code> <span class=where>{say(finding.where)}</span></h3>"
            f"<p>{say(finding.cause)}</p><p class=remedy><b>Remedy.</b> {say(finding.remedy)}{link}</p></article>"
        )


def _evidence(finding: Finding) -> str:
    numbers = "".join(f"<span>{say(n)} <b>{number(v)}</b></span> " for n, v in finding.evidence.items())
    return f"{numbers}<span>judged by: {say(finding.threshold)}</span>"


def _remedy(record: Record, item: Placed) -> str:
    finding = item.held.finding
    if finding.because:
        return f"<p class=remedy>Follows from <code>{say(finding.because)}</code>: mend that first.</p>"
    link = _link(finding)
    said = f"<p class=remedy><b>Remedy.</b> {say(finding.remedy)}{link}</p>"
    if item.same_as:
        return f"{said}<p class=remedy>The same change as for <code>{say(item.same_as)}</code>.</p>"
    lines = diff(record.text, finding.changes)[2:]
    return said + (f"<pre class=diff>{_coloured(lines)}</pre>" if lines else "")


def _link(finding: Finding) -> str:
    if not finding.link.startswith(("https://", "http://")):  # never javascript:
        return ""
    return f' <a href="{say(finding.link)}">{say(finding.link.partition("://")[2])}</a>'


def _coloured(lines: Iterable[str]) -> str:
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return "".join(f"<span class={kinds.get(line[:1], 'kept')}>{escape(line)}</span>" for line in lines)
