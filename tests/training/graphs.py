"""Graphs that a function leaves when it is traced, for tests of what is done to them."""

from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx


def traced(function: Any, *examples: torch.Tensor) -> GraphModule:
    graph: GraphModule = make_fx(function, tracing_mode="fake")(*examples)
    return graph


def count(graph: GraphModule, *targets: Any) -> int:
    return sum(node.target in targets for node in graph.graph.nodes)


def rand(*shape: int) -> torch.Tensor:
    """float64, the same every time."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))
