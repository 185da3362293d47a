"""`gancore doctor --fix`: the remedies, applied to a copy of an experiment file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gancore.health.record import Record


def write_fixed(record: "Record", run: Path, of: Path | None, out: Path) -> None:
    """Apply the remedies of all findings that follow from no other, the gravest first, and say which.

    Args:
        of: the file to mend, whose comments and order stay; by default the run's own, with every option spelled out.

    Raises:
        UserError: there is nothing to apply, the file cannot be read, or what comes out is no experiment.
    """
    from gancore.cli.folder import writable
    from gancore.errors import ExperimentError, UserError
    from gancore.experiment import read
    from gancore.experiment.fix import apply
    from gancore.health.triage import in_order
    from gancore.registry import Registry

    file = of or run / "experiment.toml"
    placed = [item for item in in_order(record) if not item.depth and not item.same_as]
    chosen = [item.held.finding for item in placed if item.held.finding.severity != "note"]
    changes = [change for finding in chosen for change in finding.changes]
    if not changes:
        said = "; ".join(finding.remedy for finding in chosen)
        raise UserError(f"{run}: no finding has a remedy that a file can hold" + (f": {said}" if said else ""))
    out = writable(out)
    try:
        mended = apply(file.read_text("utf-8"), changes)
    except Exception as error:  # no such file, no TOML, or changes from a health.json that somebody wrote
        raise UserError(f"{file}: cannot be mended: {type(error).__name__}: {error}") from error
    temporary = out.with_name(f".{out.name}.tmp")
    temporary.write_text(mended, "utf-8")
    try:
        read(temporary, Registry.discover())
    except ExperimentError as error:
        temporary.unlink()
        message = str(error).replace(str(temporary), str(out))
        raise UserError(f"the remedies make no experiment of {file}; nothing was written:\n{message}") from error
    temporary.replace(out)
    for finding in chosen:
        if finding.changes:
            click.echo(f"{finding.code} in {finding.where}: {finding.remedy}", err=True)
    click.echo(out)
