"""`gancore list`."""

import click

from gancore.components import KINDS


@click.command("list", epilog="Example: gancore list loss")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_(kind: str | None, as_json: bool) -> None:
    """List the components that are installed, all or of one KIND."""
    import json

    from gancore.registry import Registry

    registry = Registry.discover()
    offers = [offer for k in KINDS if kind in (None, k) for offer in registry.of_kind(k)]
    if as_json:
        records = [
            {
                "kind": o.kind,
                "name": o.name,
                "summary": o.component.summary,
                "distribution": o.plugin.distribution,
                "version": o.plugin.version,
            }
            for o in offers
        ]
        click.echo(json.dumps(records, indent=2))
        return
    for k in KINDS:
        of_kind = [offer for offer in offers if offer.kind == k]
        if of_kind:
            click.echo(click.style(k, bold=True))
        for offer in of_kind:
            click.echo(f"  {offer.name:<20} {offer.component.summary}  [{offer.plugin.distribution}]")
    for broken in registry.broken:
        click.echo(str(broken), err=True)
    if not offers:
        click.echo("none is installed; the usual plugins: python -m pip install 'gancore[standard]'", err=True)
