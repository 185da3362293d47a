"""`gancore doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gancore.cli.findings import OF_STATE, as_table, columns, evidence, heading, in_json, say, show_diff
from gancore.cli.fix import write_fixed

if TYPE_CHECKING:
    from rich.console import Console

    from gancore.contracts import Finding
    from gancore.errors import Problem
    from gancore.health.record import Record
    from gancore.health.triage import Placed

LINES_NAMED = 5  # damaged lines that are named one by one


@click.command(
    short_help="Say what is wrong with a run, and what to change.",
    epilog="Example: gancore doctor runs/digits-1 --html report.html",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help='For scripts; NaN and infinity are the texts "nan" and "inf".')
@click.option(
    "--html",
    "report",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a report with figures, readable offline.",
)
@click.option("--fix", is_flag=True, help="Write an experiment with the remedies applied; needs -o.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where --fix writes.")
@click.option(
    "--of",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What --fix mends: a file of yours, whose comments stay. [default: the run's own]",
)
def doctor(run: Path, as_json: bool, report: Path | None, fix: bool, out: Path | None, of: Path | None) -> None:
    """Say what gradient health has found in the run in folder RUN: the gravest first, each with its evidence, its cause
    and the lines of the experiment to change."""
    from gancore.cli.folder import writable
    from gancore.health.record import read

    if fix != (out is not None) or (of is not None and not fix):
        raise click.UsageError("--fix and -o go together, and --of with them: gancore doctor RUN --fix -o fixed.toml")
    if report is not None:
        from gancore.health.report.export import demand_matplotlib

        demand_matplotlib("--html")
        report = writable(report)
    record = read(run)
    if record.skipped:
        click.echo(f"note: not readable, and left out: {_listed(record.skipped)}", err=True)

    if fix:
        write_fixed(record, run, of, out)  # type: ignore[arg-type]  # demanded above
        return

    if not as_json:
        _show(record)
    linted = _lint(run)
    if as_json:
        click.echo(in_json(_tables(record, linted)))
    else:
        _show_lint(linted)
    if report is not None:
        from gancore.health.report.page import page

        temporary = report.with_name(f".{report.name}.tmp")
        temporary.write_text(page(record, [finding for finding, _ in linted]), "utf-8")
        temporary.replace(report)
        if not as_json:
            click.echo(report)


# ------------------------------------------------------------------------------------------------------- terminal


def _show(record: "Record") -> None:
    """Verdict, findings and the last numbers; needs no torch, and so is there at once."""
    from rich.console import Console
    from rich.text import Text

    from gancore.health.triage import in_order, verdict
    from gancore.health.words import MAIN, meaning, number, short

    console = Console(highlight=False)
    found = verdict(record)
    say(console, Text.assemble((found.state, OF_STATE[found.state]), "  ", found.words))
    for healing in record.healed:
        say(console, Text(f"healed at {healing}"))
    for item in in_order(record):
        console.print()
        _show_finding(console, record, item)
    numbers = record.measured.numbers
    rows = [(short(name), number(numbers[name]), meaning(name, numbers[name])) for name in MAIN if name in numbers]
    console.print()
    for line in columns(rows, right=(1,)):
        console.print(f"  {line}", markup=False, soft_wrap=True)


def _show_finding(console: "Console", record: "Record", item: "Placed") -> None:
    from rich.text import Text

    from gancore.health.prescription import diff
    from gancore.health.triage import duration

    finding, indent = item.held.finding, 4 * item.depth
    say(console, heading(finding, duration(record, item.held)), indent)
    say(console, Text(finding.cause), indent + 2)
    say(console, Text(evidence(finding), "dim"), indent + 2)
    if finding.because:
        say(console, Text(f"→ follows from {finding.because}: mend that first"), indent + 2)
        return
    say(console, Text.assemble(f"→ {finding.remedy}", (f"  {finding.link}", "dim")), indent + 2)
    if item.same_as:
        say(console, Text(f"  the same change as for {item.same_as}"), indent + 2)
    elif lines := diff(record.text, finding.changes):
        show_diff(console, lines, indent + 4)


def _show_lint(linted: "list[tuple[Finding, Problem]]") -> None:
    if linted:
        click.echo("\nbefore the first step")
    for _, problem in linted:
        click.echo(f"  {problem}")


def _listed(things: tuple[str, ...]) -> str:
    more = len(things) - LINES_NAMED
    return ", ".join(things[:LINES_NAMED]) + (f" and {more} more" if more > 0 else "")


# ------------------------------------------------------------------------------------------------------------ data


def _lint(run: Path) -> "list[tuple[Finding, Problem]]":
    """What was wrong with the experiment from the start; nothing where it cannot be read here."""
    from gancore.cli.folder import experiment_of
    from gancore.cli.lint import lint, located
    from gancore.errors import GancoreError

    try:
        experiment = experiment_of(run)
        return located(lint(experiment), experiment) if experiment.data else []
    except GancoreError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        click.echo(f"note: the experiment itself cannot be checked here: {first}{more}", err=True)
        return []


def _tables(record: "Record", linted: "list[tuple[Finding, Problem]]") -> dict[str, Any]:
    from gancore.health.triage import in_order

    return {
        "findings": [
            as_table(
                item.held.finding,
                first_step=item.held.first,
                last_step=item.held.last,
                holds=record.holds(item.held),
            )
            for item in in_order(record)
        ],
        "lint": [
            as_table(finding, place=f"{problem.source}:{problem.line}:{problem.column}" if problem.line else None)
            for finding, problem in linted
        ],
        "last": {"step": record.measured.step, **record.measured.numbers},
    }
