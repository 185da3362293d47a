"""`gancore show`."""

from typing import cast

import click

from gancore.components import KINDS, Kind


@click.command(short_help="Show a component and its options.", epilog="Example: gancore show regularizer r1")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
def show(kind: str, name: str) -> None:
    """Show what a component is, where it is from, and its options."""
    import inspect

    import attrs

    from gancore.components import options_of
    from gancore.experiment.schema import type_name
    from gancore.registry import Registry

    offer = Registry.discover().find(cast(Kind, kind), name)
    cls = offer.load()
    click.echo(f"{click.style(offer.name, bold=True)}  {kind} of {offer.plugin}  ({offer.component.target})\n")
    click.echo(inspect.getdoc(cls) or offer.component.summary)
    fields = options_of(cls)
    click.echo("\noptions" if fields else "\nno options")
    for field in fields:
        default: object = field.default
        value = "required" if default is attrs.NOTHING else f"default {_toml(default)}"
        click.echo(f"  {field.name}  {type_name(field.type)}, {value}\n      {field.metadata.get('doc', '')}")


def _toml(value: object) -> str:
    import tomlkit

    return "none" if value is None else tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()
