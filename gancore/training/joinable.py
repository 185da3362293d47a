"""A traced phase in operators that a compiler can join with their neighbours.

inductor makes one loop of what is done element by element, and calls a library for everything else: for a norm, for the
product of a matrix and a row, and for a bias, which the library copies into the place of a product before it adds that.
In a small network each of these calls takes as long as the arithmetic.

In bf16 a product is rounded before its bias is added, as well as after it; in return, what is joined is rounded once.
"""

import operator
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

_aten = torch.ops.aten


def joinable(graph: GraphModule) -> GraphModule:
    """The same function of the same inputs but for rounding, in place."""
    for node in list(graph.graph.nodes):
        if node.target is _aten.linalg_vector_norm.default:
            _as_sum(graph, node, *node.args, **node.kwargs)
        elif node.target is _aten._foreach_norm.Scalar:
            _norm_each(graph, node)
        elif node.target is _aten.addmm.default and not node.kwargs and _is_on_cpu(node):
            added, *factors = node.args
            with graph.graph.inserting_before(node):
                product = _call(graph, _aten.mm.default, *factors)
            _add(graph, node, added, _shorter(graph, product))
        elif node.target is _aten.mm.default:
            _shorter(graph, node)
        elif node.target is _aten.add.Tensor and not node.kwargs and _is_on_cpu(node):
            for added, product in (node.args, node.args[::-1]):
                if _is_product(product) and isinstance(added, Node) and _lie_alike(added, product):
                    _add(graph, node, added, product)
                    break
    graph.recompile()
    return graph


def _shorter(graph: GraphModule, node: Node) -> Node:
    """The product of two matrices, without a library where one of them is a row or a column."""
    a, b = cast(tuple[Node, Node], node.args)
    (m, k), n = _value(a).shape, _value(b).shape[1]
    if k == 1:
        node.target = _aten.mul.Tensor
        return node
    if 1 not in (m, n) or not _is_on_cpu(node):
        return node
    with graph.graph.inserting_before(node):
        # Element by element, and summed up along the dimension that they share.
        factors = (_call(graph, _aten.t.default, a), b) if m == 1 else (a, _call(graph, _aten.t.default, b))
        summands = _call(graph, _aten.mul.Tensor, *factors)
        total = _call(graph, _aten.sum.dim_IntList, summands, [0 if m == 1 else 1], True)
    _replace(node, total)
    return total


def _add(graph: GraphModule, node: Node, added: Any, product: Node) -> None:
    """In the place of `node`. As a difference from what is opposite, which is the same number: inductor would make one
    call of a product and a sum again."""
    with graph.graph.inserting_before(node):
        _replace(node, _call(graph, _aten.sub.Tensor, product, _call(graph, _aten.neg.default, added)))


def _is_product(node: Any) -> bool:
    return isinstance(node, Node) and node.target is _aten.mm.default


def _lie_alike(added: Node, product: Node) -> bool:
    """Whether their sum lies in memory as the product does, and is of its type."""
    a, b = _value(added), _value(product)
    return a.dtype == b.dtype and (a.dim() < 2 or (a.shape == b.shape and a.stride() == b.stride()))


def _as_sum(
    graph: GraphModule,
    node: Node,
    x: Any,
    order: Any = 2,
    places: Any = None,
    keepdim: Any = False,
    *,
    dtype: Any = None,
) -> None:
    """In the place of a norm of x, over some dimensions or all of them: sums of squares, or of absolute values."""
    if order not in (1, 2) or not _value(x).is_floating_point() or _value(x).dtype == torch.float16:
        return
    with graph.graph.inserting_before(node):
        if dtype is not None and dtype != _value(x).dtype:
            x = _call(graph, _aten._to_copy.default, x, dtype=dtype)
        summands = _call(graph, _aten.mul.Tensor, x, x) if order == 2 else _call(graph, _aten.abs.default, x)
        norm = _call(graph, _aten.sum.dim_IntList, summands, list(places or ()), keepdim)
        _replace(node, _call(graph, _aten.sqrt.default, norm) if order == 2 else norm)


def _norm_each(graph: GraphModule, node: Node) -> None:
    tensors, *order = node.args
    for user in list(node.users):
        if user.target is operator.getitem:
            x: Any = cast(Any, tensors)[user.args[1]]
            _as_sum(graph, user, x, *order[:1], dtype=node.kwargs.get("dtype", (*order, None, None)[1]))
    if not node.users:
        graph.graph.erase_node(node)


def _call(graph: GraphModule, function: Any, *args: Any, **options: Any) -> Node:
    """A further node, which knows what it computes as the traced ones do."""
    node = graph.graph.call_function(function, args, options)
    known = (_value(argument) if isinstance(argument, Node) else argument for argument in args)
    node.meta["val"] = function(*known, **options)
    return node


def _replace(node: Node, other: Node) -> None:
    node.replace_all_uses_with(other)
    node.graph.erase_node(node)


def _value(node: Any) -> Tensor:
    value: Tensor = node.meta["val"]
    return value


def _is_on_cpu(node: Node) -> bool:
    """A GPU's libraries add a bias by themselves."""
    return _value(node).device.type == "cpu"
