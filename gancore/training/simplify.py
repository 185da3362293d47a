"""A traced phase without what it computes though the result is known.

A penalty on a gradient is differentiated twice. Where activations are piecewise linear (ReLU, leaky ReLU) their second
derivative is 0, and autograd carries matrices of zeros through the whole backward pass of the penalty's points: a tenth
of the arithmetic of a WGAN-GP critic, and more of its time. In a graph that can be seen, and left out.

Zero times anything counts as zero here, also times NaN, which is in the forward pass too and is found there.
"""

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten
# Write running statistics, which their schemas do not say.
_NORMS = {_aten.native_batch_norm.default: (3, 4), _aten.cudnn_batch_norm.default: (3, 4)}
_ZERO_MADE = {_aten.zeros_like.default, _aten.zeros.default, _aten.new_zeros.default}
# 0 where the first operand is.
_ZERO_OF_FIRST = {
    operator.getitem,
    _aten.alias.default,
    _aten.clone.default,
    _aten.convolution_backward.default,
    _aten.detach.default,
    _aten.elu_backward.default,
    _aten.expand.default,
    _aten.leaky_relu_backward.default,
    _aten.mean.default,
    _aten.mean.dim,
    _aten.neg.default,
    _aten.permute.default,
    _aten.sigmoid_backward.default,
    _aten.slice.Tensor,
    _aten.slice_backward.default,
    _aten.softplus_backward.default,
    _aten.squeeze.default,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
    _aten.sum.default,
    _aten.sum.dim_IntList,
    _aten.t.default,
    _aten.tanh_backward.default,
    _aten.threshold_backward.default,
    _aten.transpose.int,
    _aten.unsqueeze.default,
    _aten.view.default,
    _aten._to_copy.default,
    _aten._unsafe_view.default,
}
# 0 where one of the operands is.
_ZERO_OF_ANY = {_aten.bmm.default, _aten.mm.default, _aten.mul.Scalar, _aten.mul.Tensor}


def simplify(graph: GraphModule) -> GraphModule:
    """The same function of the same inputs, in place."""
    written = _written(graph)
    # What leaves the graph is its caller's, who may write to it: nothing else may be the same memory.
    outside = _memory_of([node for node in graph.graph.nodes if node.op == "placeholder"])
    outside |= _memory_of(graph.graph.output_node().args)
    zeros: set[Node] = set()
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or _memory_of(node) & written:
            continue
        if _is_zero(node, zeros):
            zeros.add(node)
        elif (other := _without_zero(node, zeros)) is not None and not _memory_of(other) & (written | outside):
            node.replace_all_uses_with(other)
            outside |= _memory_of(other)
    for node in list(graph.graph.nodes):
        if node in zeros and any(user not in zeros for user in node.users):
            _put_zeros(graph, node)
    graph.graph.eliminate_dead_code(lambda node: node.is_impure() or node.target in _NORMS)
    graph.recompile()
    return graph


def _is_zero(node: Node, zeros: set[Node]) -> bool:
    if node.target in _ZERO_MADE:
        return True
    if node.target in (_aten.full.default, _aten.full_like.default):
        return bool(node.args[1] == 0)
    if node.target in _ZERO_OF_ANY:
        return any(argument in zeros for argument in node.args)
    if node.target in (_aten.div.Tensor, _aten.div.Scalar):  # by a tensor, it may be 0 / 0
        return node.args[0] in zeros and isinstance(node.args[1], int | float) and node.args[1] != 0
    return node.target in _ZERO_OF_FIRST and node.args[0] in zeros


def _without_zero(node: Node, zeros: set[Node]) -> Node | None:
    """The summand that is the whole sum, if it lies in memory as the sum does."""
    if node.target is not _aten.add.Tensor or node.kwargs:
        return None
    a, b = node.args
    for summand, other in ((a, b), (b, a)):
        if isinstance(summand, Node) and other in zeros and _alike(summand.meta["val"], node.meta["val"]):
            return summand
    return None


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.stride() == b.stride()


def _put_zeros(graph: GraphModule, node: Node) -> None:
    """In the place of something that would be computed to be zeros."""
    value = node.meta["val"]
    if not isinstance(value, Tensor) or not value.is_contiguous():
        return
    options: dict[str, Any] = {"dtype": value.dtype, "device": value.device, "pin_memory": False}
    with graph.graph.inserting_after(node):
        made = graph.graph.call_function(_aten.full.default, (list(value.shape), 0), options)
    made.meta["val"] = value
    node.replace_all_uses_with(made)


def _written(graph: GraphModule) -> set[StorageWeakRef]:
    """Memory that something is written into: there, a node does not always stand for the same numbers."""
    found: set[StorageWeakRef] = set()
    for node in graph.graph.nodes:
        for place in _NORMS.get(node.target, ()):
            found |= _memory_of(node.args[place])
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            continue
        for place, argument in enumerate(schema.arguments):
            given = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
            if argument.alias_info is not None and argument.alias_info.is_write:
                found |= _memory_of(given)
    return found


def _memory_of(given: Any) -> set[StorageWeakRef]:
    nodes = [leaf for leaf in tree_leaves(given) if isinstance(leaf, Node)]
    values = [value for node in nodes for value in tree_leaves(node.meta.get("val"))]
    return {
        StorageWeakRef(value.untyped_storage())  # type: ignore[no-untyped-call]
        for value in values
        if isinstance(value, Tensor)
    }
