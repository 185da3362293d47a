"""The idx format of MNIST's files, plain or gzipped.
 Read here and not by torchvision, because torchvision wants all four files unpacked in a folder it can write
to.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from gancore import DataError


def find_idx(folder: Path, name: str) -> Path | None:
    """The file of that name, or the same name with `.gz`, or None."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_idx(path: Path) -> Tensor:
    """The bytes of an idx file as a uint8 tensor of the shape in its header.

    Raises:
        DataError: the file is truncated, damaged, empty or holds something else than bytes.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = bytearray(file.read())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it and get it again") from error
    # Two zero bytes, 8 for "unsigned byte", the number of dimensions, then each as a big-endian integer.
    start = 4 + 4 * data[3] if len(data) > 3 and data[:3] == b"\0\0\x08" else 0
    if not start or len(data) <= start:
        raise DataError(f"{path}: not an idx file of bytes; delete it and get it again")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    if len(data) != start + math.prod(shape):
        raise DataError(
            f"{path}: its header says {shape}, {start + math.prod(shape)} bytes, but it has {len(data)}; "
            "delete it and get it again"
        )
    return torch.frombuffer(data, dtype=torch.uint8, offset=start).view(shape)
