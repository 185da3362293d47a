"""Random streams: every consumer of randomness has its own, derived from the seed of the run and its name.

So adding a component changes nobody else's numbers, and a checkpoint can restore each where it was.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream `name` of a run seeded with `seed`."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


def stream(seed: int, name: str, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(derive(seed, name))


class GlobalStreams:
    """The global generators of python, numpy and torch, as one run sees them.

    Networks (dropout, initialisation) and other people's code draw from them. A run enters its own state and leaves the
    caller's as it was, so that two runs in one process, or a notebook around them, do not disturb each other.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        with _kept(device):
            random.seed(derive(seed, "python"))
            np.random.seed(derive(seed, "numpy") % 2**32)
            torch.manual_seed(derive(seed, "torch"))
            self._state = _get(device)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with _kept(self._device):
            _set(self._state, self._device)
            try:
                yield
            finally:
                self._state = _get(self._device)

    def state_dict(self) -> dict[str, Any]:
        return _packed(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore. A state from another kind of device has no part for this one, which then goes on as it is."""
        self._state = {**self._state, **_unpacked(state)}


@contextmanager
def _kept(device: torch.device) -> Iterator[None]:
    before = _get(device)
    try:
        yield
    finally:
        _set(before, device)


def _get(device: torch.device) -> dict[str, Any]:
    """As the libraries give it: entering and leaving a run is to cost nothing worth mentioning."""
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=True),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set(state: dict[str, Any], device: torch.device) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _packed(state: dict[str, Any]) -> dict[str, Any]:
    """In tensors and plain values, as a checkpoint takes it."""
    version, words, gauss = state["python"]
    kind, keys, position, has_gauss, cached = state["numpy"]
    return {
        **state,
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "kind": kind,
            "keys": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            "rest": [int(position), int(has_gauss), float(cached)],
        },
    }


def _unpacked(state: dict[str, Any]) -> dict[str, Any]:
    python, numpy = state["python"], state["numpy"]
    return {
        **state,
        "python": (python["version"], tuple(python["words"].tolist()), python["gauss"]),
        "numpy": (numpy["kind"], numpy["keys"].numpy().astype(np.uint32), *numpy["rest"]),
    }
