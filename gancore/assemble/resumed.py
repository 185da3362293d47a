"""The proof of exact resume: a run that was cut in two ends where the uninterrupted one does, to the bit."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from attrs import frozen

from gancore import checkpoint
from gancore.assemble.build import assemble
from gancore.assemble.folder import make_folder
from gancore.experiment import Experiment, read
from gancore.registry import Registry
from gancore.training.observers import Observers
from gancore.training.phases import EAGER
from gancore.training.run import Run

LINES = ("stats.jsonl", "health.jsonl")
CLOCK = ("time",)  # keys whose values are those of a clock
QUIET = ("progress",)


@frozen
class Comparison:
    """
    Attributes:
        digests: SHA-256 of the final tensors, uninterrupted and resumed.
        tensors: how many there are.
        lines: lines of each file of numbers.
        differences: what is not the same, in words.
    """

    digests: tuple[str, str]
    tensors: int
    lines: dict[str, int]
    differences: tuple[str, ...]


@frozen
class _Ends:
    """Stops a run at a step, as a signal would."""

    every: int

    def stepped(self, run: Any) -> None:
        if run.step == self.every:
            run.stop()


def compare(experiment: Experiment, steps: int, folder: Path) -> Iterator[str | Comparison]:
    """Train `steps` steps, and half of them and then the rest from the checkpoint. Yields what it does, then the
    comparison.

    Args:
        folder: an empty one, for the two run folders.
    """
    callbacks = tuple(selection for selection in experiment.callbacks if selection.name not in QUIET)
    compiled = experiment.train.compile
    if compiled == "auto":  # as the whole run decides, and not one of this length
        planned = assemble(experiment)
        compiled = "off" if planned.game.differentiate is EAGER else "phase"
    train = attrs.evolve(experiment.train, steps=steps, epochs=None, compile=compiled)  # type: ignore[misc]  # it is one
    experiment = attrs.evolve(experiment, train=train, callbacks=callbacks)
    whole, halves = folder / "whole", folder / "halves"
    yield f"{steps} steps without a break"
    _assembled(experiment, whole).train()
    yield f"{steps // 2} steps"
    first = _assembled(experiment, halves)
    first.observers = Observers({"ends": _Ends(steps // 2), **first.callbacks}, first.observers.strict)
    first.train()
    del first
    _scramble()  # what a resumed run needs of the process, it has to bring along
    yield f"{steps - steps // 2} more from the checkpoint"
    second = assemble(read(halves / "experiment.toml", Registry.discover()), make_folder=lambda: halves)
    notes = second.load_state_dict(checkpoint.load_latest(halves)[0])
    second.train()
    yield _compared(whole, halves, notes)


def _assembled(experiment: Experiment, folder: Path) -> Run:
    return assemble(experiment, make_folder=lambda: make_folder(experiment, folder))


def _scramble() -> None:
    random.seed()
    np.random.seed()
    torch.seed()


def _compared(whole: Path, halves: Path, notes: list[str]) -> Comparison:
    ends = [checkpoint.folders(folder)[-1] for folder in (whole, halves)]
    one, other = (checkpoint.load(end) for end in ends)
    digests = [checkpoint.described(end).files["tensors.safetensors"].sha256 for end in ends]
    differences = [*notes, *_differences(one, other)]
    lines = {}
    for name in LINES:
        told, again = (_lines(folder / name) for folder in (whole, halves))
        lines[name] = len(told)
        if told != again:
            differences.append(f"{name}: {len(told)} lines and {len(again)}, which are not the same")
    pictures = [{p.name: p.read_bytes() for p in (folder / "samples").glob("*")} for folder in (whole, halves)]
    differences += [f"samples/{name}" for name, png in pictures[0].items() if pictures[1].get(name) != png]
    return Comparison((digests[0], digests[1]), _tensors(one), lines, tuple(differences))


def _differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(_bits(one), _bits(other)):
            yield path
    elif isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _differences(one[key], other[key], f"{path}/{key}" if path else str(key))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{path}/{i}")
    elif json.dumps(one, default=str) != json.dumps(other, default=str):  # NaN is NaN here
        yield path


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The same bits as numbers that equal themselves."""
    return tensor.contiguous().flatten().view(torch.uint8) if tensor.dtype.is_floating_point else tensor


def _tensors(state: Any) -> int:
    if isinstance(state, torch.Tensor):
        return 1
    if isinstance(state, dict):
        return sum(map(_tensors, state.values()))
    return sum(map(_tensors, state)) if isinstance(state, list | tuple) else 0


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [{key: repr(value) for key, value in line.items() if key not in CLOCK} for line in lines]
