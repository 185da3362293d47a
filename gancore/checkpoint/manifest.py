"""The manifest of a checkpoint: what it consists of, and who wrote it. It vouches for all files, itself included."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import field, frozen

import gancore
from gancore.errors import RunFolderError

FORMAT = 4  # see gancore.checkpoint.migrations
NAME = "manifest.json"
LARGEST = 1 << 20  # bytes of a manifest; the real ones have less than a thousand


@frozen
class File:
    """One file of a checkpoint."""

    sha256: str
    bytes: int


@frozen
class Manifest:
    """
    Attributes:
        format: of the checkpoint, see `gancore.checkpoint.migrations`.
        step: steps finished.
        files: all others of the folder, by their names.
        gancore, torch, python: the versions that wrote it.
        numbers: what the checkpoint is to be judged by, e.g. a metric.
    """

    step: int
    files: Mapping[str, File]
    numbers: Mapping[str, float] = field(factory=dict)
    format: int = FORMAT
    gancore: str = gancore.__version__
    torch: str = field(factory=lambda: version("torch"))
    python: str = field(factory=platform.python_version)

    def text(self) -> str:
        """As it stands in the file, with its own SHA-256 in the last line."""
        tables = {
            "format": self.format,
            "step": self.step,
            "gancore": self.gancore,
            "torch": self.torch,
            "python": self.python,
            "numbers": dict(self.numbers),
            "files": {name: {"sha256": file.sha256, "bytes": file.bytes} for name, file in self.files.items()},
        }
        return _sealed(tables)


def read(folder: Path) -> Manifest:
    """The manifest of a checkpoint's folder, verified.

    Raises:
        RunFolderError: it is damaged, or of a format that this version does not know.
        OSError, ValueError, KeyError, TypeError: there is none, or it is damaged beyond reading.
    """
    file = folder / NAME
    with file.open("rb") as stream:
        text = stream.read(LARGEST).decode("utf-8")
    tables = json.loads(text)
    if tables["format"] not in range(1, FORMAT + 1):
        wrote = str(tables["gancore"])[:40]
        raise RunFolderError(
            f"has format {str(tables['format'])[:20]}, written by gancore {wrote}; this is gancore "
            f"{gancore.__version__}, which reads formats up to {FORMAT}. To use it: pip install gancore=={wrote}",
            folder,
        )
    if tables["format"] == 1:  # it did not vouch for itself, nor know sizes
        files = {name: File(sha256, (folder / name).stat().st_size) for name, sha256 in tables["files"].items()}
        return Manifest(tables["step"], files, format=1, gancore=tables["gancore"], torch="", python="")
    if text != _sealed({key: value for key, value in tables.items() if key != "sha256"}):
        raise RunFolderError(f"{NAME} is damaged (its own SHA-256 is another)", folder)
    del tables["sha256"]
    return Manifest(**{**tables, "files": {name: File(**file) for name, file in tables["files"].items()}})


def _sealed(tables: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(tables).encode()).hexdigest()
    return json.dumps({**tables, "sha256": digest}, indent=2) + "\n"
