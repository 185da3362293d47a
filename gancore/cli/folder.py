"""The experiment of a run folder."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from gancore.errors import RunFolderError
from gancore.experiment import Experiment, read
from gancore.registry import Registry


def experiment_of(run: Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read a run folder's experiment.toml, saying which plugins have another version than when it was trained.

    Raises:
        RunFolderError: `run` is no run folder.
    """
    file = run / "experiment.toml"
    if not file.is_file():
        raise RunFolderError("is no run folder (it has no experiment.toml)", run)
    experiment = read(file, Registry.discover(), overrides)
    for distribution, (installed, recorded) in other_versions(experiment).items():
        click.echo(f"note: {distribution} is {installed}; the run was trained with {recorded}", err=True)
    return experiment


def other_versions(experiment: Experiment) -> dict[str, tuple[str, str]]:
    """The distributions that are installed in another version than the run was trained with: now and then."""
    found = {}
    for distribution, recorded in experiment.plugins.items():
        try:
            installed = version(distribution)
        except PackageNotFoundError:
            installed = "none"
        if installed != recorded:
            found[distribution] = (installed, recorded)
    return found


@contextmanager
def explained(experiment: Experiment, folder: Path) -> Iterator[None]:
    """A checkpoint that does not fit may be of another version of a plugin: say which one to install."""
    try:
        yield
    except RunFolderError as error:
        others = other_versions(experiment)
        wanted = " ".join(f"{distribution}=={recorded}" for distribution, (_, recorded) in others.items())
        hint = f". To use it with what it was trained with: pip install {wanted}" if wanted else ""
        raise RunFolderError(f"{error}{hint}", folder) from error


def writable(path: Path) -> Path:
    """A file to write: its folder exists and lets us.

    Raises:
        RunFolderError: not so.
    """
    parent = path.absolute().parent
    if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        raise RunFolderError("cannot be written" + ("; it is a folder" if path.is_dir() else ""), path)
    return path
