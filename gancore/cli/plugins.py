"""`gancore plugins`."""

import click

from gancore.components import KINDS


@click.command(short_help="List the plugins, also the broken ones.", epilog="Example: gancore plugins --json")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def plugins(as_json: bool) -> None:
    """List the installed plugins, and why a broken one is broken."""
    import json

    from gancore.registry import Registry

    registry = Registry.discover()
    rows = []
    for plugin in dict.fromkeys((*registry.plugins, *(broken.plugin for broken in registry.broken))):
        names = [f"{offer.kind} {offer.name}" for offer in registry.offers if offer.plugin == plugin]
        reasons = [
            {"stage": broken.stage, "error": broken.error} for broken in registry.broken if broken.plugin == plugin
        ]
        rows.append((plugin, names, reasons))
    if as_json:
        records = [
            {
                "distribution": p.distribution,
                "version": p.version,
                "entry_point": p.entry_point,
                "components": names,
                "broken": reasons,
            }
            for p, names, reasons in rows
        ]
        click.echo(json.dumps(records, indent=2))
        return
    for plugin, names, reasons in rows:
        click.echo(click.style(str(plugin), bold=True))
        for kind in KINDS:
            if of_kind := [name.removeprefix(f"{kind} ") for name in names if name.startswith(f"{kind} ")]:
                click.echo(f"  {kind:<12} {', '.join(of_kind)}")
        for reason in reasons:
            click.echo(f"  broken ({reason['stage']}): {reason['error']}")
    if not any(plugin.distribution != "gancore" for plugin, _, _ in rows):
        click.echo("no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'")
