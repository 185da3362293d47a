"""What `train` and `resume` share: signals and healing around a run, and the last words."""

import os
import shlex
from typing import TYPE_CHECKING

import click

from gancore.cli.signals import Signals
from gancore.errors import NonFiniteError, RunFailed, UnhealthyError, UserError

if TYPE_CHECKING:
    from gancore.experiment import Experiment
    from gancore.training.run import Run


def train_to_end(experiment: "Experiment", run: "Run") -> int:
    """Train, and return the exit code.

    Where `[health] action = "heal"`, a fatal finding leads to another run in the same folder, with a remedy.
    """
    from gancore.assemble.heal import heal

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "WORLD_SIZE says that several processes were started, but the command line trains in one; several share "
            "a run only in a script: init_process_group(), then gancore.load(...).assemble().advance(steps)"
        )
    folder = run.folder  # made now: one that is in the way is refused before anything is trained
    signals = Signals(experiment.train.grace)
    with signals.heard() as are_for:
        try:
            while True:
                are_for(run)
                try:
                    ending = run.train()
                    break
                except (UnhealthyError, NonFiniteError) as error:
                    healing = experiment.health.action == "heal"
                    healed = heal(experiment, folder, error.findings, error.holding) if healing else None
                    if healed is None:
                        raise
                    experiment, run, words = healed
                    click.echo(words, err=True)
        except UserError as error:  # of the data or the disk, but the run was under way
            raise RunFailed(str(error)) from error
    if ending == "interrupted":
        # Before the first step there is no checkpoint.
        last = f"to go on: gancore resume {shlex.quote(str(folder))}" if run.step else "nothing was trained"
        click.echo(last, err=True)
        return signals.exit_code
    click.echo(folder)
    return 0
