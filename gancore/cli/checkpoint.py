"""`gancore checkpoint`: what a run can go back to."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gancore.errors import RunFolderError

if TYPE_CHECKING:
    from gancore.checkpoint import Manifest

RUN = click.argument("run", type=click.Path(path_type=Path))


@click.group(
    short_help="List, verify or prune the checkpoints of a run.",
    epilog="Example: gancore checkpoint verify runs/digits-1",
)
def checkpoint() -> None:
    """List, verify or prune the checkpoints of a run folder."""


@checkpoint.command("list", short_help="Step, size, age and numbers of each.")
@RUN
def list_(run: Path) -> None:
    """List the checkpoints in folder RUN, oldest first, as their manifests describe them.

    Example: gancore checkpoint list runs/digits-1
    """
    from gancore import checkpoint as checkpoints

    for folder in _folders(run):
        try:
            manifest = checkpoints.described(folder)
        except RunFolderError as error:
            click.echo(f"{checkpoints.step_of(folder):>12,}  {_what_is_wrong(error, folder)}")
            continue
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in manifest.numbers.items())
        click.echo(f"{manifest.step:>12,}  {_size(manifest):>10}  {_written(folder)}  {numbers}".rstrip())


@checkpoint.command(short_help="Read every byte and compare it with what was written.")
@RUN
def verify(run: Path) -> int:
    """Read every byte of every checkpoint in folder RUN and compare it with its SHA-256. Exits with 1 if one is
    damaged.

    Example: gancore checkpoint verify runs/digits-1
    """
    from gancore import checkpoint as checkpoints

    damaged = 0
    for folder in _folders(run):
        try:
            manifest = checkpoints.verify(folder)
        except RunFolderError as error:
            damaged += 1
            click.echo(f"{checkpoints.step_of(folder):>12,}  {_what_is_wrong(error, folder)}")
        else:
            click.echo(f"{manifest.step:>12,}  good, {_size(manifest)}")
    return 1 if damaged else 0


@checkpoint.command(short_help="Delete all but the newest ones.")
@RUN
@click.option("--keep", type=click.IntRange(1), default=1, show_default=True, help="How many of the newest to keep.")
def prune(run: Path, keep: int) -> None:
    """Delete all but the newest checkpoints in folder RUN; the one that [checkpoint] best has chosen stays. Where the
    newest one is damaged nothing is deleted.

    Example: gancore checkpoint prune runs/digits-1 --keep 2
    """
    from gancore import checkpoint as checkpoints
    from gancore.cli.folder import experiment_of

    _folders(run)
    with checkpoints.locked(run):
        options = experiment_of(run).checkpoint.options
        best = checkpoints.best(run, options.get("best", ""), options.get("best_is", "lowest"))
        checkpoints.verify(checkpoints.folders(run)[-1])
        gone = checkpoints.prune(run, keep, best)
    for folder in gone:
        click.echo(f"deleted {folder.name}")
    click.echo(f"{len(gone)} deleted, {len(checkpoints.folders(run))} kept")


def _folders(run: Path) -> list[Path]:
    from gancore import checkpoint as checkpoints

    if not run.is_dir():
        raise RunFolderError("is no run folder: there is no such folder", run)
    found = checkpoints.folders(run)
    if not found:
        raise RunFolderError("has no checkpoint", run)
    return found


def _what_is_wrong(error: Exception, folder: Path) -> str:
    return str(error).removeprefix(f"{folder}: ")


def _size(manifest: "Manifest") -> str:
    size = float(sum(file.bytes for file in manifest.files.values()))
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


def _written(folder: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(folder.stat().st_mtime))
