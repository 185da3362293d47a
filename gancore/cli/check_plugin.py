"""`gancore check-plugin`."""

import click


@click.command(
    "check-plugin",
    short_help="Check that the components of a plugin keep their contracts.",
    epilog="Example: gancore check-plugin gancore-losses",
)
@click.argument("distribution")
@click.option("-v", "--verbose", is_flag=True, help="Also name the checks that hold.")
def check_plugin(distribution: str, verbose: bool) -> int:
    """Run the contract kit on every component of the installed DISTRIBUTION.

    The same checks as `gancore.testing.parametrize_with_checks` makes of it in a test suite; needs no GPU. Exits with
    1 if a contract is broken.
    """
    from packaging.utils import canonicalize_name

    from gancore.testing import NotHere, Violation, checks_of

    counts = {"hold": 0, "broken": 0, "could not be checked": 0}
    for check in checks_of(canonicalize_name(distribution)):
        try:
            check()
        except Violation as violation:
            counts["broken"] += 1
            click.echo(f"{click.style('broken', fg='red')}  {check.name}\n  {violation}")
        except NotHere as reason:
            counts["could not be checked"] += 1
            click.echo(f"skipped {check.name}\n  {reason}")
        except Exception as error:  # the component's own
            counts["broken"] += 1
            click.echo(f"{click.style('broken', fg='red')}  {check.name}\n  {type(error).__name__}: {error}")
        else:
            counts["hold"] += 1
            if verbose:
                click.echo(f"holds   {check.name}")
    click.echo(f"{distribution}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if counts["broken"] else 0
