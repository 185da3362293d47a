"""`gancore schema`."""

from pathlib import Path

import click


@click.command(
    short_help="Write a JSON Schema, for editors.",
    epilog="Example: gancore schema -o gancore.schema.json, and `#:schema gancore.schema.json` as a file's first line",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write to a file instead of the screen.")
def schema(out: Path | None) -> None:
    """Write a JSON Schema of experiment files, with every component that is installed, for editors (Taplo, Tombi)."""
    import json

    from gancore.cli.folder import writable
    from gancore.experiment.schema import schema as schema_of
    from gancore.registry import Registry

    text = json.dumps(schema_of(Registry.discover()), indent=2)
    if out is None:
        click.echo(text)
    else:
        writable(out).write_text(text + "\n", "utf-8")
        click.echo(f"put `#:schema {out}` into the first line of an experiment file")
