"""`gancore train`."""

import os
from pathlib import Path

import click

from gancore.cli.profile import show

SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value of the file, e.g. --set train.steps=100.",
)


@click.command(
    short_help="Train an experiment.",
    epilog="Example: gancore train examples/digits.toml --set train.steps=200 --out runs/try",
)
@click.argument("file", type=click.Path(path_type=Path))
@SET
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The run folder; must be empty. [default: runs/NAME-N]",
)
@click.option(
    "--profile", is_flag=True, help="Show where the time of a step goes, and write a trace of 20 steps for Perfetto."
)
def train(file: Path, overrides: tuple[str, ...], out: Path | None, profile: bool) -> int:
    """Train the experiment in FILE.

    Ctrl-C (or SIGTERM) finishes the step, writes a checkpoint and says how to resume; a second Ctrl-C ends at once.
    """
    from functools import partial

    from gancore.assemble import assemble, make_folder
    from gancore.cli.training import train_to_end
    from gancore.experiment import read
    from gancore.registry import Registry

    experiment = read(file, Registry.discover(), overrides)
    run = assemble(experiment, make_folder=partial(make_folder, experiment, out))
    if profile:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would chat on standard error
        from gancore.training.profiling import Profiler

        Profiler(show).join(run)
    return train_to_end(experiment, run)
