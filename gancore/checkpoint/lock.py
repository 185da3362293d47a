"""One process at a time writes into a run folder.

The lock is the kernel's (flock): it ends with the process that holds it, however that ends. So a lock file that a dead
process has left behind locks nothing. What stands in it is only for people.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gancore.errors import RunFolderError

NAME = ".lock"
_held: dict[Path, int] = {}  # how many times this process has locked a folder: it may inside its own lock
_descriptors: set[int] = set()


def _forget() -> None:
    """A forked child, such as a reader of data, shares the locks and may outlive its parent: it lets go of them."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()
    _held.clear()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def locked(run_folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a run folder.

    Raises:
        RunFolderError: another process writes into it, or it may not be written.
    """
    folder = run_folder.resolve()
    if folder in _held:
        _held[folder] += 1
        try:
            yield
        finally:
            _held[folder] -= 1
        return
    try:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise RunFolderError(f"cannot be locked: {error.strerror or error}", run_folder) from error
    _descriptors.add(descriptor)
    try:
        _lock(descriptor, run_folder)
        _held[folder] = 1
        yield
    finally:
        _held.pop(folder, None)
        if descriptor in _descriptors:  # not in a forked child
            _descriptors.remove(descriptor)
            os.close(descriptor)


def _lock(descriptor: int, run_folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunFolderError(
            f"{_holder(descriptor)} is training in it; wait for it or end it, or choose another --out", run_folder
        ) from error
    except OSError:  # a file system without locks
        return
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)
    except OSError:  # a full disk: the lock holds all the same
        return


def _holder(descriptor: int) -> str:
    try:
        found = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {int(found['pid'])} on {str(found['host'])[:60]!r}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
