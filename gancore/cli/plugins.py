"""`gancore plugins`."""

import click


@click.command(epilog="Example: gancore plugins --json")
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
        if names:
            click.echo(f"  {', '.join(names)}")
        for reason in reasons:
            click.echo(f"  broken ({reason['stage']}): {reason['error']}")
    if not any(plugin.distribution != "gancore" for plugin, _, _ in rows):
        click.echo("no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'")
