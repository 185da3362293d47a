"""How far an optimizer went, as a compiled graph: of a small network, looking things up takes most of the time."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import define, field
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from gancore.health.measures import spreads
from gancore.training.compiled import Machine, reason, undisturbed
from gancore.training.compiled_step import MANY

TOLERANCE = 1e-3  # relative: sums come in another order

_log = logging.getLogger("gancore")


@define(eq=False)
class CompiledSpreads:
    """`gancore.health.measures.spreads`, by one graph for each network."""

    machine: Machine
    _graphs: dict[Any, Callable[..., Sequence[Tensor]] | None] = field(factory=dict, init=False)

    def __call__(self, after: Sequence[Tensor], before: Sequence[Tensor]) -> Tensor:
        key = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in (*after, *before))
        if key not in self._graphs:
            self._graphs[key] = self._compile(after, before)
        graph = self._graphs[key]
        if graph is None:
            return spreads(after, before)
        with torch.no_grad():
            return graph(*after, *before)[0]

    def _compile(self, after: Sequence[Tensor], before: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]] | None:
        if len(after) > MANY:
            return None
        try:
            with torch.no_grad(), undisturbed():
                # Of no weights: whether the graph is used is not to depend on them, as a resumed run decides the same.
                rng = torch.Generator(after[0].device).manual_seed(0)
                laid_out = [
                    torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device) for t in (*after, *before)
                ]
                examples = [tensor.normal_(generator=rng) for tensor in laid_out]
                graph = make_fx(lambda *flat: (spreads(flat[: len(after)], flat[len(after) :]),))(*examples)
                made = self.machine(graph, examples)
                expected = spreads(examples[: len(after)], examples[len(after) :])
                torch.testing.assert_close(made(*examples)[0], expected, rtol=TOLERANCE, atol=0)
        except Exception as error:
            _log.info("an update's measure is not compiled: %s", reason(error))
            return None
        return made
