"""`gancore list`."""

import click

from gancore.components import KINDS


@click.command("list", short_help="List the components to choose from.", epilog="Example: gancore list loss")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_(kind: str | None, as_json: bool) -> None:
    """List the components that are installed, all or of one KIND."""
    import json
    import shutil
    import sys
    import textwrap

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
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000  # in a pipe a line stays a line
    for k in KINDS:
        of_kind = [offer for offer in offers if offer.kind == k]
        if of_kind:
            click.echo(click.style(k, bold=True))
        for offer in of_kind:
            line = f"  {offer.name:<20} {offer.component.summary}  [{offer.plugin.distribution}]"
            click.echo(textwrap.fill(line, width, subsequent_indent=" " * 23, break_on_hyphens=False))
    for broken in registry.broken:
        click.echo(str(broken), err=True)
    if not any(plugin.distribution != "gancore" for plugin in registry.plugins):
        click.echo("no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'", err=True)
    elif not offers:
        click.echo(f"no {kind} is installed", err=True)
