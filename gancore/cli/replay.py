"""`gancore replay`."""

from pathlib import Path

import click


@click.command(
    short_help="Repeat the step in which a run became NaN, and show where.",
    epilog="Example: gancore replay runs/digits-1/capsules/step-00000121",
)
@click.argument("capsule", type=click.Path(path_type=Path))
def replay(capsule: Path) -> int:
    """Take the step in the folder CAPSULE again, on the CPU and under watch, and show what is not finite first.

    A run writes a capsule when a number of its log is NaN or infinite: weights, random states, and the very reals and
    latents of that step. Exits with 1 if the step goes well here.
    """
    from gancore.assemble.replay import open_capsule
    from gancore.health.nonfinite import finding_of
    from gancore.training.recorder import take_step

    run, kept = open_capsule(capsule)
    with kept.tape.playing(run):
        seen = take_step(run)
    if kept.sighting is not None:
        click.echo(f"recorded: step {kept.step}: {kept.sighting}")
    if seen is None:
        click.echo(f"replayed: step {kept.step} goes well here")
        return 1
    click.echo(f"replayed: step {kept.step}: {seen}")
    if run.checkup is not None:
        click.echo(finding_of(seen, kept.step, run.checkup.doctor.facts).remedy)
    return 0
