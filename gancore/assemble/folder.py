"""The run folder: made when something is first written, with the resolved experiment in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gancore.contracts import DataSpec
from gancore.errors import RunFolderError
from gancore.experiment import Experiment
from gancore.experiment.write import write


def make_folder(experiment: Experiment, out: Path | None) -> Path:
    """Make the run folder and write the resolved experiment into it.

    Args:
        out: the folder, which must not hold anything yet; None for the next free `runs/<name>-<n>`.

    Raises:
        RunFolderError: it holds something, or cannot be made.
    """
    try:
        if out is None:
            folder = _next(experiment.name)
        else:
            folder = out
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise RunFolderError("is not empty; choose another --out, or go on with `gancore resume`", folder)
    except OSError as error:
        raise RunFolderError(f"cannot be made: {error.strerror or error}", Path(out or "runs")) from error
    record(experiment, folder)
    return folder


def record(experiment: Experiment, folder: Path) -> None:
    """Write the resolved experiment into the run folder, whole or not at all.

    Raises:
        RunFolderError: it cannot be written.
    """
    file = folder / "experiment.toml"
    temporary = folder / ".experiment.toml.tmp"
    try:
        temporary.write_text(write(experiment), "utf-8")
        temporary.replace(file)
    except OSError as error:
        raise RunFolderError(f"cannot be written: {error.strerror or error}", file) from error


WIDEST = 1 << 24  # the most that a side or a vector can have; no data come close


def spec_of(state: Mapping[str, Any], folder: Path) -> DataSpec:
    """What the data of a checkpoint looked like.

    Raises:
        RunFolderError: it does not say, or nonsense.
    """
    try:
        shape, classes, values = (state["data"][key] for key in ("shape", "classes", "range"))
        whole = all(type(n) is int and 0 < n <= WIDEST for n in shape) and type(classes) is int and classes >= 0
        if not (whole and len(shape) in (1, 3)):
            raise ValueError(f"shape {shape}, classes {classes}")
        return DataSpec(tuple(shape), classes, None if values is None else (float(values[0]), float(values[1])))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunFolderError(f"does not say what its data looked like: {str(error)[:100]}", folder) from error


def _next(name: str) -> Path:
    """Make the next `runs/<name>-<n>`, also where several runs start at the same moment."""
    root = Path("runs")
    root.mkdir(exist_ok=True)
    while True:
        endings = [path.name.removeprefix(f"{name}-") for path in root.iterdir() if path.name.startswith(f"{name}-")]
        folder = root / f"{name}-{max((int(n) for n in endings if n.isdecimal()), default=0) + 1}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
