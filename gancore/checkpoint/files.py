"""One checkpoint: written so that it exists whole or not at all, verified whenever it is read."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gancore.checkpoint import manifest as manifests
from gancore.checkpoint.manifest import File, Manifest
from gancore.checkpoint.migrations import migrated
from gancore.checkpoint.packing import pack, unpack
from gancore.errors import RunFolderError

TENSORS, STATE, EXPERIMENT = "tensors.safetensors", "state.json", "experiment.toml"
LARGEST_STATE = 1 << 28  # bytes of a state without its tensors
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)
"""What reading a damaged file may raise."""


def write(
    final: Path, step: int, state: dict[str, Any], *, experiment: str = "", numbers: Mapping[str, float] | None = None
) -> Path:
    """Write `state` as the checkpoint `final`, under a temporary name first; it takes the place of one of that name
    once it has been verified.

    Args:
        experiment: the resolved experiment, as text.
        numbers: what the checkpoint is to be judged by.

    Raises:
        RunFolderError: it cannot be written; what was there before is still there.
        TypeError: the state holds something that is neither a tensor nor JSON.
    """
    old = final.with_name(f"{final.name}.old")
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    tree, tensors = pack(state)
    text = json.dumps(tree)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        for stale in final.parent.glob(".*.tmp"):  # of processes that were killed; whoever writes here has the lock
            shutil.rmtree(stale, ignore_errors=True)
        temporary.mkdir()
        save_file(tensors, temporary / TENSORS)
        (temporary / STATE).write_text(text, "utf-8")
        (temporary / EXPERIMENT).write_text(experiment, "utf-8")
        files = {name: _file(temporary / name) for name in (TENSORS, STATE, EXPERIMENT)}
        (temporary / manifests.NAME).write_text(Manifest(step, files, numbers or {}).text(), "utf-8")
        for name in (*files, manifests.NAME, ""):
            _sync(temporary / name)
        if final.exists():
            verify(temporary)
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        temporary.rename(final)
        _sync(final.parent)
    except (OSError, SafetensorError, RunFolderError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunFolderError(f"the checkpoint of step {step} cannot be written: {error}", final) from error
    shutil.rmtree(old, ignore_errors=True)
    return final


def verify(folder: Path) -> Manifest:
    """Read every byte of a checkpoint and compare it with what was written.

    Raises:
        RunFolderError: it is missing, damaged, or of a format that this version does not know.
    """
    with _reported(folder):
        manifest = manifests.read(folder)
        expected = {TENSORS, STATE} if manifest.format == 1 else {TENSORS, STATE, EXPERIMENT}
        if set(manifest.files) != expected:  # names of a stranger's choice would be paths of a stranger's choice
            raise RunFolderError(f"is damaged: its manifest has other files than {', '.join(sorted(expected))}", folder)
        for name, file in manifest.files.items():
            if _file(folder / name) != file:
                raise RunFolderError(f"{name} is damaged (its SHA-256 is not the one of the manifest)", folder)
        return manifest


def described(folder: Path) -> Manifest:
    """What a checkpoint says of itself, without reading the rest of it.

    Raises:
        RunFolderError: the manifest is missing, damaged, or of a format that this version does not know.
    """
    with _reported(folder):
        return manifests.read(folder)


def load(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Any]:
    """Read and verify one checkpoint.

    Args:
        wanted: which top-level parts of the state to read; by default all.

    Raises:
        RunFolderError: it is missing, damaged, too large for this machine, or of a format that this version does not
            know.
    """
    manifest = verify(folder)
    with _reported(folder):
        for name, largest in ((STATE, LARGEST_STATE), (TENSORS, _memory())):
            if manifest.files[name].bytes > largest:
                raise RunFolderError(
                    f"{name} has {manifest.files[name].bytes:,} bytes, too many to be read here", folder
                )
        tree = json.loads((folder / STATE).read_text("utf-8"))
        parts = {key: part for key, part in tree.items() if key.startswith("$") or wanted(key)}
        with safe_open(folder / TENSORS, "pt") as tensors:
            state = unpack(parts, {name: tensors.get_tensor(name) for name in _named(parts)})
        if not isinstance(state, dict):
            raise TypeError("its state is no table")
        return migrated(state, manifest.format)


def _named(tree: Any) -> Iterator[str]:
    """The tensors that a tree refers to."""
    if isinstance(tree, list):
        for item in tree:
            yield from _named(item)
    elif isinstance(tree, dict):
        if "$tensor" in tree:
            yield tree["$tensor"]
        else:
            yield from _named(list(tree.values()))


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except RunFolderError:
        raise
    except DAMAGED as error:
        said = str(error).replace("\n", " ")
        raise RunFolderError(f"is damaged: {type(error).__name__}: {said[:200]}", folder) from error


def _memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _file(path: Path) -> File:
    with path.open("rb") as file:
        return File(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
