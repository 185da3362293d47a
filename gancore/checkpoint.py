"""Checkpoints: a folder per step that either exists whole or not at all, and that nothing can execute from.

    checkpoints/step-00002000/tensors.safetensors   every tensor of the state
                              state.json            its tree, with references to the tensors
                              manifest.json         format, step, versions, SHA-256 of the other two

Written under a temporary name, synced, then renamed. Verified on every load. A checkpoint that is written again is
called `step-<n>.old` until its successor has taken its name.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import gancore
from gancore.errors import RunFolderError

FORMAT = 1
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"

_FOLDER = re.compile(r"step-(\d{8,})(\.old)?")
_RESERVED = "__metadata__"  # safetensors' own key among the tensors' names


def save(run_folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` as the checkpoint of `step` and return its folder. An existing one of that step is replaced.

    Raises:
        RunFolderError: it cannot be written; what was there before is still there.
        TypeError: the state holds something that is neither a tensor nor JSON.
    """
    return write(run_folder / "checkpoints" / f"step-{step:08d}", step, state)


def write(final: Path, step: int, state: dict[str, Any]) -> Path:
    """The same, into a folder of any name."""
    old = final.with_name(f"{final.name}.old")
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_pack(state, "", tensors))
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(tensors, temporary / TENSORS)
        (temporary / STATE).write_text(tree, "utf-8")
        manifest = {
            "format": FORMAT,
            "step": step,
            "gancore": gancore.__version__,
            "files": {name: _sha256(temporary / name) for name in (TENSORS, STATE)},
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
        for path in (temporary / TENSORS, temporary / STATE, temporary / MANIFEST, temporary):
            _sync(path)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        temporary.rename(final)
        _sync(final.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunFolderError(f"the checkpoint of step {step} cannot be written: {error}", final) from error
    shutil.rmtree(old, ignore_errors=True)
    return final


def load(folder: Path) -> dict[str, Any]:
    """Read and verify one checkpoint.

    Raises:
        RunFolderError: it is missing, damaged, or of a format this version does not know.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise RunFolderError(
                f"has format {manifest['format']}, written by gancore {manifest['gancore']}; this is gancore "
                f"{gancore.__version__}, which reads format {FORMAT}",
                folder,
            )
        for name in (TENSORS, STATE):
            if _sha256(folder / name) != manifest["files"][name]:
                raise RunFolderError(f"{name} is damaged (its SHA-256 is not the one of the manifest)", folder)
        state = _unpack(json.loads((folder / STATE).read_text("utf-8")), load_file(folder / TENSORS))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunFolderError(f"is damaged: {type(error).__name__}: {error}", folder) from error
    assert isinstance(state, dict)
    return state


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


def prune(run_folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what interrupted writers left behind."""
    kept = folders(run_folder)[-keep:]
    checkpoints = run_folder / "checkpoints"
    superseded = [folder for folder in checkpoints.glob("step-*") if _FOLDER.fullmatch(folder.name)]
    for folder in (*superseded, *checkpoints.glob(".step-*.tmp")):
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _pack(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """The JSON tree of a state; tensors move into `tensors` under their path. `$` marks what JSON has no word for."""
    if isinstance(value, torch.Tensor):
        name = path
        while name in tensors or name == _RESERVED:  # "a/b" may be one key or two
            name += "'"
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"$tensor": name}
    if isinstance(value, dict):
        for key in value:
            if key is not None and not isinstance(key, bool | int | float | str):
                raise TypeError(f"the state at {path or 'its root'} has a {type(key).__name__} as a key")
        items = [(key, _pack(item, f"{path}/{key}" if path else str(key), tensors)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(items)
        return {"$items": [[key, item] for key, item in items]}
    if isinstance(value, list | tuple):
        packed = [_pack(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
        return packed if isinstance(value, list) else {"$tuple": packed}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"the state at {path} holds a {type(value).__name__}; a checkpoint takes tensors and plain JSON values"
    )


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$tuple" in value:
        return tuple(_unpack(item, tensors) for item in value["$tuple"])
    if "$items" in value:
        return {key: _unpack(item, tensors) for key, item in value["$items"]}
    return {key: _unpack(item, tensors) for key, item in value.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with _descriptor(path) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
