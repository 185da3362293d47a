"""How far an optimizer went, in a graph."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gancore
from gancore.health.measures import spreads
from gancore.training.compiled import by_inductor, operator_by_operator
from gancore.training.compiled_spreads import CompiledSpreads

DIGITS = Path(__file__).parents[2] / "examples" / "digits.toml"


def weights(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=rng) for shape in shapes]


@pytest.mark.parametrize("machine", [operator_by_operator, by_inductor])
def test_it_measures_what_the_operators_do(machine: Any) -> None:
    compiled, shapes = CompiledSpreads(machine), [(5, 3), (1, 4), (2, 3, 3, 3)]
    for seed in range(3):
        after, before = weights(*shapes, seed=seed), weights(*shapes, seed=seed + 10)
        expected = [float((a.double() - b.double()).std()) for a, b in zip(after, before, strict=True)]
        assert compiled(after, before).tolist() == pytest.approx(expected, rel=1e-5)
        torch.testing.assert_close(spreads(after, before), compiled(after, before))
    assert len(compiled._graphs) == 1
    assert all(graph is not None for graph in compiled._graphs.values())
    compiled(after[:1], before[:1])
    assert len(compiled._graphs) == 2


def test_a_graph_that_measures_something_else_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    compiled = CompiledSpreads(lambda graph, examples: lambda *flat: (graph(*flat)[0] * 1.01,))
    after, before = weights((3, 3)), weights((3, 3), seed=1)
    with caplog.at_level(logging.INFO, logger="gancore"):
        assert torch.equal(compiled(after, before), spreads(after, before))
    assert "an update's measure is not compiled" in caplog.text
    compiled(after, before)
    assert len(caplog.records) == 1, "it is tried once"


def test_whether_it_is_used_does_not_depend_on_the_weights() -> None:
    compiled = CompiledSpreads(operator_by_operator)
    same = [torch.full((4, 4), torch.nan)]
    assert bool(compiled(same, same).isnan().all())
    assert all(graph is not None for graph in compiled._graphs.values())


def test_it_is_chosen_where_optimizers_steps_are_compiled() -> None:
    for compile, chosen in (("phase", True), ("off", False)):
        run = gancore.load(DIGITS, ["train.device=cpu", f"train.compile={compile}"]).assemble()
        assert run.checkup is not None
        assert isinstance(run.checkup.probe.aims.spreads, CompiledSpreads) == chosen


def test_weights_that_lie_otherwise_have_a_graph_of_their_own() -> None:
    compiled = CompiledSpreads(by_inductor)
    after, before = [torch.randn(8, 10)[:, :2]], [torch.randn(8, 2)]
    for pair in ((after, before), (before, after), (after, after)):
        torch.testing.assert_close(compiled(*pair), spreads(*pair))
    assert len(compiled._graphs) == 3
