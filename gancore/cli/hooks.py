"""`gancore hooks`."""

from pathlib import Path

import click


@click.command(
    short_help="Show every hook a plugin can implement, with its contract.",
    epilog="Example: gancore hooks -o HOOKS.md",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write to a file instead of the screen.")
def hooks(out: Path | None) -> None:
    """Show what a plugin can bring: every hook, and the contract of what it offers, as Markdown."""
    from gancore.cli.folder import writable
    from gancore.scaffold.reference import reference

    if out is None:
        click.echo(reference(), nl=False)
    else:
        writable(out).write_text(reference(), "utf-8")
        click.echo(out)
