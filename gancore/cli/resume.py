"""`gancore resume`."""

from pathlib import Path

import click

from gancore.cli.train import SET

# What may change without making the resumed run a different one.
CHANGEABLE = (
    "train.steps",
    "train.epochs",
    "train.device",
    "train.workers",
    "train.strict",
    "train.damaged",
    "train.grace",
    "data.root",
    "data.download",
    "log",
    "health",
    "checkpoint",
    "callback",
    "metric",
)


@click.command(
    short_help="Go on with a run that was interrupted or is to be longer.",
    epilog="Example: gancore resume runs/digits-1 --set train.steps=20000",
)
@click.argument("run", type=click.Path(path_type=Path))
@SET
def resume(run: Path, overrides: tuple[str, ...]) -> int:
    """Go on with the run in folder RUN from its newest checkpoint, exactly as if it had never stopped.

    --set may change how long the run is, where it runs, where its data are and what is recorded; anything else would
    be another experiment.
    """
    from gancore import checkpoint
    from gancore.assemble import assemble
    from gancore.assemble.folder import record
    from gancore.cli.folder import experiment_of, explained
    from gancore.cli.training import train_to_end
    from gancore.errors import UserError

    for override in overrides:
        key = override.partition("=")[0].strip()
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in CHANGEABLE):
            raise UserError(
                f"--set {override}: a resumed run can change {', '.join(CHANGEABLE)}; for anything else, train anew"
            )
    experiment = experiment_of(run, overrides)
    with checkpoint.locked(run):
        state, folder, damaged = checkpoint.load_latest(run)
        assembled = assemble(experiment, make_folder=lambda: run)
        with explained(experiment, folder):
            notes = assembled.load_state_dict(state)
        if assembled.step >= assembled.steps:
            length = "steps" if experiment.train.steps else "epochs"
            raise UserError(
                f"{run} has finished its {assembled.steps} steps ({folder.name}); --set train.{length}=N trains on"
            )
        for newer, problem in damaged.items():
            click.echo(f"passed over, now {checkpoint.set_aside(newer).name}: {problem}", err=True)
        for note in notes:
            click.echo(f"note: {note}", err=True)
        if overrides:  # the next resume goes on with them
            record(experiment, run)
        return train_to_end(experiment, assembled)
