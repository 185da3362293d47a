"""`gancore verify-resume`."""

from pathlib import Path

import click

from gancore.cli.train import SET


@click.command(
    "verify-resume",
    short_help="Prove that a resumed run equals an uninterrupted one.",
    epilog="Example: gancore verify-resume examples/digits.toml --steps 200",
)
@click.argument("file", type=click.Path(path_type=Path))
@SET
@click.option(
    "--steps", type=click.IntRange(2), default=110, show_default=True, help="Steps of the run; it is cut in the middle."
)
def verify_resume(file: Path, overrides: tuple[str, ...], steps: int) -> int:
    """Train the experiment in FILE twice, once cut in two, and compare every bit of what they end with: weights,
    averages, optimizers' moments, random streams, the order of the data, counters, the logged numbers and the samples.

    Trains in a temporary folder, on the experiment's own device. Exits with 1 if anything differs.
    """
    import tempfile

    from gancore.assemble.resumed import Comparison, compare
    from gancore.experiment import read
    from gancore.registry import Registry

    experiment = read(file, Registry.discover(), overrides)
    found: Comparison | None = None
    with tempfile.TemporaryDirectory(prefix="gancore-") as folder:
        for said in compare(experiment, steps, Path(folder)):
            if isinstance(said, Comparison):
                found = said
            else:
                click.echo(said, err=True)
    assert found is not None
    if found.differences:
        click.echo(f"{experiment.name}: the resumed run is another one. What differs:")
        for difference in found.differences[:20]:
            click.echo(f"  {difference}")
        if len(found.differences) > 20:
            click.echo(f"  and {len(found.differences) - 20} more")
        click.echo("Whatever keeps state, or draws random numbers of its own, needs state_dict and load_state_dict.")
        return 1
    lines = ", ".join(f"{count} lines of {name}" for name, count in found.lines.items() if count)
    click.echo(
        f"{experiment.name}: resumed equals uninterrupted, {steps} steps: {found.tensors} tensors "
        f"(SHA-256 {found.digests[0][:16]} both){f', {lines}' if lines else ''}"
    )
    return 0
