"""The run folder: made when something is first written, with the resolved experiment in it."""

from pathlib import Path

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
        folder = _next_free(experiment.name) if out is None else out
        folder.mkdir(parents=True, exist_ok=out is not None)
        if any(folder.iterdir()):
            raise RunFolderError("is not empty; choose another --out, or go on with `gancore resume`", folder)
        (folder / "experiment.toml").write_text(write(experiment), "utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot be made: {error.strerror or error}", Path(out or "runs")) from error
    return folder


def _next_free(name: str) -> Path:
    root = Path("runs")
    numbers = [int(n) for path in root.glob(f"{name}-*") if (n := path.name.removeprefix(f"{name}-")).isdecimal()]
    return root / f"{name}-{max(numbers, default=0) + 1}"
