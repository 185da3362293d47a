"""What `train` and `resume` share: signals around a run, and the last words."""

import os
import shlex
import signal
from types import FrameType
from typing import TYPE_CHECKING

import click

from gancore.errors import NonFiniteError, RunFailed, UnhealthyError, UserError

if TYPE_CHECKING:
    from gancore.experiment import Experiment
    from gancore.training.run import Run

INTERRUPTED = 130


def train_to_end(experiment: "Experiment", run: "Run") -> int:
    """Train, and return the exit code. The first SIGINT or SIGTERM ends cleanly, the second at once.

    Where `[health] action = "heal"`, a fatal finding leads to another run in the same folder, with a remedy.
    """
    from gancore.assemble.heal import heal

    def stop(number: int, _: FrameType | None) -> None:
        run.stop()
        # Not the handlers of before: a process started in the background has been told to ignore SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        click.echo(f"{signal.Signals(number).name}: finishing this step; once more ends at once", err=True)

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "WORLD_SIZE says that several processes were started, but the command line trains in one; several share "
            "a run only in a script: init_process_group(), then gancore.load(...).assemble().advance(steps)"
        )
    folder = run.folder  # made now: one that is in the way is refused before anything is trained
    before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        while True:
            try:
                ending = run.train()
                break
            except (UnhealthyError, NonFiniteError) as error:
                healed = heal(experiment, folder, error.findings) if experiment.health.action == "heal" else None
                if healed is None:
                    raise
                experiment, run, words = healed
                click.echo(words, err=True)
    except UserError as error:  # of the data or the disk, but the run was under way
        raise RunFailed(str(error)) from error
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    if ending == "interrupted":
        # Before the first step there is no checkpoint.
        last = f"to go on: gancore resume {shlex.quote(str(folder))}" if run.step else "nothing was trained"
        click.echo(last, err=True)
        return INTERRUPTED
    click.echo(folder)
    return 0
