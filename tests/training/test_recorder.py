"""What the flight recorder remembers: enough to take the same steps again, in memory that is used over and over."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from gancore.training.recorder import remember

EXPERIMENTS = ("mlp_adam", "dcgan_lazy", "wgan_gp")


def tensors(state: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(state, torch.Tensor):
        yield path, state
    elif isinstance(state, dict | list | tuple):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from tensors(value, f"{path}/{key}")


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    mine, theirs = dict(tensors(one)), dict(tensors(other))
    assert mine.keys() == theirs.keys()
    assert [path for path, value in mine.items() if not torch.equal(value, theirs[path])] == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_from_what_is_remembered_the_same_steps_are_taken(
    name: str, assemble: Any, experiments: dict[str, str]
) -> None:
    run = assemble(experiments[name], "health.every=1")
    run.advance(2)
    state = remember(run)
    run.advance(3)
    expected = remember(run)
    run.load_state_dict(state)
    run.advance(3)
    assert_same(remember(run), expected)


def test_an_older_memory_gives_its_place_to_a_newer_one(assemble: Any, experiments: dict[str, str]) -> None:
    run = assemble(experiments["wgan_gp"])
    run.advance(2)
    older = remember(run)
    places = {path: value.data_ptr() for path, value in tensors(older)}
    run.advance(1)
    newer = remember(run, over=older)
    assert_same(newer, remember(run))
    reused = [path for path, value in tensors(newer) if value.data_ptr() == places.get(path)]
    assert len(reused) > 0.8 * len(places)
    run.advance(1)
    assert newer["step"] == 3
    assert (
        dict(tensors(newer))["/generator/network/layers.0.weight"].data_ptr()
        != next(run.game.generator.network.parameters()).data_ptr()
    )


def test_a_memory_of_something_else_is_no_place_for_it(assemble: Any, experiments: dict[str, str]) -> None:
    """One with other tensors under the same names, or with none."""
    run = assemble(experiments["wgan_gp"])
    run.advance(1)
    other = {
        "generator": {"network": {"layers.0.weight": torch.zeros(1)}, "optimizer": None},
        "globals": {"numpy": {"keys": torch.zeros(624, dtype=torch.int64).expand(624), "rest": 0}},
    }
    assert_same(remember(run, over=other), remember(run))


def test_what_only_looks_on_is_not_remembered(assemble: Any, experiments: dict[str, str]) -> None:
    run = assemble(experiments["wgan_gp"], "health.every=1")
    run.advance(1)
    kept = remember(run)["components"].keys()
    assert kept < run.state_dict()["components"].keys()
    assert not [name for name in kept if name.startswith(("health/", "metric/", "callback/"))]
