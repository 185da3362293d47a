"""The checkpoints of a run: which there are, which is the newest good one, which may go."""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gancore.checkpoint.files import described, load, verify, write
from gancore.errors import RunFolderError

_FOLDER = re.compile(r"step-(\d{8,18})(\.old)?")


def save(
    run_folder: Path,
    step: int,
    state: dict[str, Any],
    *,
    experiment: str = "",
    numbers: Mapping[str, float] | None = None,
) -> Path:
    """Write `state` as the checkpoint of `step` and return its folder. An existing one of that step is replaced.

    Raises:
        RunFolderError: it cannot be written; what was there before is still there.
        TypeError: the state holds something that is neither a tensor nor JSON.
    """
    final = run_folder / "checkpoints" / f"step-{step:08d}"
    return write(final, step, state, experiment=experiment, numbers=numbers)


def load_latest(run_folder: Path) -> tuple[dict[str, Any], Path, dict[Path, str]]:
    """The newest checkpoint that verifies, where it stands, and what is wrong with each newer one.

    Raises:
        RunFolderError: there is none.
    """
    damaged: dict[Path, str] = {}
    for folder in reversed(folders(run_folder)):
        try:
            return load(folder), folder, damaged
        except RunFolderError as error:
            damaged[folder] = str(error)
    if not run_folder.is_dir():
        raise RunFolderError("is no run folder: there is no such folder", run_folder)
    raise RunFolderError("; ".join(["has no usable checkpoint", *damaged.values()]), run_folder)


def folders(run_folder: Path) -> list[Path]:
    """All checkpoints of a run, oldest first; unfinished ones do not count."""
    found: dict[int, Path] = {}
    for folder in sorted((run_folder / "checkpoints").glob("step-*")):  # step-2 before step-2.old
        if match := _FOLDER.fullmatch(folder.name):
            found.setdefault(int(match[1]), folder)
    return [found[step] for step in sorted(found)]


def step_of(checkpoint_folder: Path) -> int:
    """The step in the name of one of `folders`."""
    return int(checkpoint_folder.name.removeprefix("step-").removesuffix(".old"))


def set_aside(folder: Path, why: str = "damaged") -> Path:
    """Rename a damaged checkpoint, so that it no longer counts as a newer one: `prune` would keep it for a good one.

    Raises:
        RunFolderError: it cannot be renamed.
    """
    number = 1
    while (aside := folder.with_name(f"{why}-{folder.name}-{number}")).exists():
        number += 1
    try:
        return folder.rename(aside)
    except OSError as error:
        raise RunFolderError(f"cannot be set aside: {error.strerror or error}", folder) from error


def best(run_folder: Path, number: str, which: str = "lowest") -> list[Path]:
    """The checkpoint in whose manifest `number` has the best value; none, if no manifest has it.

    Args:
        which: "lowest" or "highest".
    """
    found: list[tuple[float, Path]] = []
    for folder in folders(run_folder):
        try:
            value = described(folder).numbers.get(number)
        except RunFolderError:
            continue
        if value is not None:
            found.append((-value if which == "highest" else value, folder))
    return [min(found)[1]] if found else []


def prune(run_folder: Path, keep: int, besides: Iterable[Path] = ()) -> list[Path]:
    """Delete all but the newest `keep` checkpoints and those `besides`, and what interrupted writers left behind.

    Returns:
        what was deleted. Nothing, unless the newest one verifies: older ones may be needed.
    """
    kept = {*folders(run_folder)[-keep:], *besides}
    if kept:
        try:
            verify(folders(run_folder)[-1])
        except RunFolderError:
            return []
    checkpoints = run_folder / "checkpoints"
    superseded = [folder for folder in checkpoints.glob("step-*") if _FOLDER.fullmatch(folder.name)]
    gone = [folder for folder in (*superseded, *checkpoints.glob(".step-*.tmp")) if folder not in kept]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return gone
