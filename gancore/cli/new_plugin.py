"""`gancore new-plugin`."""

from pathlib import Path
from typing import cast

import click

from gancore.components import KINDS, Kind


@click.command(
    "new-plugin",
    short_help="Write a complete plugin to start from.",
    epilog="Example: gancore new-plugin soft-labels --kind loss",
)
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it is to offer.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where. [default: gancore-NAME]")
def new_plugin(name: str, kind: str, folder: Path | None) -> None:
    """Write the distribution gancore-NAME with one working component NAME, its tests, an example and a CI file.

    It installs, passes its tests and trains as it is. Change it into yours, a bit at a time.
    """
    from gancore.errors import UserError
    from gancore.scaffold import NewPlugin

    try:
        plugin = NewPlugin(name, cast(Kind, kind))
    except ValueError as error:
        raise UserError(
            f"{name}: a plugin's name is of lower case letters, digits and hyphens, as in soft-labels"
        ) from error
    folder = folder or Path(f"gancore-{name}")
    for file in plugin.write(folder):
        click.echo(file)
    click.echo(f"now: cd {folder} && python -m pip install -e '.[test]' && pytest && gancore train example.toml")
