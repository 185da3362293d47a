"""An optimizer's step as a compiled graph: of a small network's update, looking things up takes most of the time.

On a GPU, a fused optimizer is one launch already; a CPU walks through tensors by itself.
"""

import logging
import operator
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes.split_module import split_module
from torch.nn import Parameter
from torch.optim import Optimizer

from gancore.errors import first_line
from gancore.training.compiled import Machine, undisturbed
from gancore.training.draws import UntraceableError
from gancore.training.hostside import HostSide
from gancore.training.player import Player

# Between compiled and operator by operator, relative to the change of each tensor: the arithmetic is the same.
TOLERANCE = 1e-3
MOST = 8  # attempts at a graph, each of which may take seconds
MANY = 64  # parameters, beside whose phase their update is nothing, and takes long to compile

_log = logging.getLogger("gancore")
_OTHERWISE = {"fused": None, "foreach": False, "capturable": True}  # how torch's own write a step in plain operators


@frozen(eq=False)
class _Graph:
    """A step in a graph, and for what.

    Attributes:
        loads: the player's, when it was made.
        moving: the parameters that had a gradient.
        options: of the groups, but for learning rates.
        own: parameters and state: tensors that the step changes.
        rates: the groups' learning rates, which change from step to step, as they were last `filled`.
    """

    call: Callable[..., Any]
    loads: int
    moving: list[Parameter]
    options: list[dict[str, Any]]
    own: list[Tensor]
    rates: list[Tensor]
    filled: list[float]


@define(eq=False)
class CompiledStep:
    """Takes the steps of a player's optimizer by a graph that is made of the optimizer's own code.

    An optimizer that keeps numbers in Python, or reads one of a tensor, takes its steps itself.
    """

    _player: Player
    _machine: Machine
    failed: str = field(default="", init=False)
    _graph: _Graph | None = field(default=None, init=False)
    _tried: int = field(default=0, init=False)

    def __call__(self) -> None:
        optimizer, graph = self._player.optimizer, self._graph
        if graph is not None and graph.loads != self._player.loads:  # other tensors stand in the places of moments
            graph = None
        if graph is None and self._tried < MOST and not self.failed:
            graph = self._graph = self._compile()
        if graph is None or not _fits(graph, optimizer):
            self._graph = None  # of parameters with as many steps as one another, which may be so no more
            optimizer.step()
            return
        for i, group in enumerate(optimizer.param_groups):
            if graph.filled[i] != group["lr"]:
                graph.filled[i] = group["lr"]
                graph.rates[i].fill_(group["lr"])
        with torch.no_grad():
            graph.call(*graph.rates, *map(_gradient, graph.moving), *graph.own)

    def _compile(self) -> _Graph | None:
        self._tried += 1
        optimizer = self._player.optimizer
        before = HostSide([("the optimizer", optimizer)])
        try:
            step = _Step(optimizer)
            own = [*step.moving, *step.state]
            filled = [float(group["lr"]) for group in optimizer.param_groups]
            rates = [torch.tensor(rate, dtype=torch.float64) for rate in filled]
            examples = [value.detach() for value in (*rates, *map(_gradient, step.moving), *own)]
            graph = make_fx(step, tracing_mode="fake")(*examples)
            if changed := before.put_back():
                raise UntraceableError(f"{changed[0]} changes in Python")
            with torch.no_grad():
                with undisturbed():
                    call = _in_two(graph, examples, self._machine)
                ours, theirs = ([example.clone() for example in examples] for _ in range(2))
                call(*ours), graph(*theirs)
            difference = _difference(ours, theirs, examples)
        except Exception as error:
            before.put_back()
            if not isinstance(error, _NoStateYet):
                self.failed = first_line(error)
                _log.debug("an optimizer's step is not compiled: %s", self.failed)
            return None
        if not difference <= TOLERANCE:
            self.failed = f"it would differ by {difference:.1g}"
            return None
        optimizer._opt_called = True  # type: ignore[attr-defined]  # what a schedule asks, to warn those who forget
        options = list(map(_options, optimizer.param_groups))
        return _Graph(call, self._player.loads, step.moving, options, own, rates, filled)


class _NoStateYet(Exception):  # noqa: N818 - the name says it
    """The optimizer makes its state in this step."""


class _Step:
    """An optimizer's step as a function of tensors, which it changes: rates, gradients, parameters, state."""

    def __init__(self, optimizer: Optimizer) -> None:
        if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
            raise UntraceableError("something is hooked to its steps")
        if sum(len(group["params"]) for group in optimizer.param_groups) > MANY:
            raise UntraceableError(f"it has more than {MANY} parameters")
        self._optimizer = optimizer
        groups = optimizer.param_groups
        self._moving = [[p for p in group["params"] if p.grad is not None] for group in groups]
        self.moving: list[Parameter] = [parameter for several in self._moving for parameter in several]
        self._kept = [dict(optimizer.state.get(parameter, {})) for parameter in self.moving]
        self.state = [value for kept in self._kept for value in kept.values() if isinstance(value, Tensor)]
        self._counts = [
            (i, name, float(value))
            for i, kept in enumerate(self._kept)
            for name, value in kept.items()
            if isinstance(value, Tensor) and value.dim() == 0 and value.dtype == torch.float32
        ]

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        given = iter(flat)
        rates = [next(given) for _ in self._moving]
        gradients = [next(given) for _ in self.moving]
        parameters = [next(given) for _ in self.moving]
        kept = [
            {name: next(given) if isinstance(value, Tensor) else value for name, value in of.items()}
            for of in self._kept
        ]
        counted = [(kept[i], name, kept[i][name]) for i, name, _ in self._counts]
        self._share(kept)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        left = iter(parameters)
        states = dict(zip(parameters, (dict(of) for of in kept), strict=True))
        with self._swapped([[next(left) for _ in several] for several in self._moving], rates, states):
            # Without what torch puts around it for profilers, which would be recorded.
            step = type(self._optimizer).step
            (step.__wrapped__ if getattr(step, "hooked", False) else step)(self._optimizer)  # type: ignore[attr-defined]
            if len(self._optimizer.state) > len(parameters):
                raise UntraceableError("it keeps a state of its own")
        for parameter, of in zip(parameters, kept, strict=True):
            now = states[parameter]
            if now.keys() - of.keys():
                raise _NoStateYet
            if any(now[name] is not value for name, value in of.items()):
                raise UntraceableError("its state changes in Python")
        for of, name, value in counted:
            value.copy_(of[name])
        return []

    def _share(self, kept: list[dict[str, Any]]) -> None:
        """Numbers of steps in float64, as 1 - 0.999^t has to be exact; and the same where they are equal, so that what
        is computed of them is computed once."""
        exact: dict[tuple[str, float], Tensor] = {}
        for i, name, count in self._counts:
            exact.setdefault((name, count), kept[i][name].double())
            kept[i][name] = exact[name, count].clone()

    @contextmanager
    def _swapped(
        self, parameters: list[list[Tensor]], rates: list[Tensor], states: dict[Tensor, dict[str, Any]]
    ) -> Iterator[None]:
        optimizer = self._optimizer
        groups, state, flag = optimizer.param_groups, optimizer.state, torch.compiler._is_compiling_flag
        optimizer.param_groups = [
            {**group, **{key: value for key, value in _OTHERWISE.items() if key in group}, "params": several, "lr": lr}
            for group, several, lr in zip(groups, parameters, rates, strict=True)
        ]
        optimizer.state = defaultdict(dict, states)
        torch.compiler._is_compiling_flag = True  # torch's optimizers would ask for a GPU otherwise
        try:
            with torch.no_grad():
                yield
            options = zip(map(_options, optimizer.param_groups), map(_options, groups), strict=True)
            if any(now != before | {k: v for k, v in _OTHERWISE.items() if k in before} for now, before in options):
                raise UntraceableError("its options change")
        finally:
            torch.compiler._is_compiling_flag = flag
            optimizer.param_groups, optimizer.state = groups, state


def _in_two(graph: GraphModule, examples: Sequence[Tensor], machine: Machine) -> Callable[..., Any]:
    """Scalars first: a compiler would compute them again for every element of the tensors that they are used for."""
    scalars: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op != "output" and node.meta["val"].dim() == 0 and scalars.issuperset(node.all_input_nodes):
            scalars.add(node)
    halves = split_module(graph, None, lambda node: int(node not in scalars))  # type: ignore[arg-type]
    given: dict[str, list[Tensor]] = {}
    hooks = [
        half.register_forward_pre_hook(lambda _, values, name=name: given.update({name: list(values)}))
        for name, half in halves.named_children()
    ]
    halves(*(example.clone() for example in examples))
    for hook in hooks:
        hook.remove()
    for name, values in given.items():
        compiled = machine(getattr(halves, name), values)
        delattr(halves, name)
        halves.__dict__[name] = compiled
    return halves.forward


def _fits(graph: _Graph, optimizer: Optimizer) -> bool:
    groups = optimizer.param_groups
    moving = [parameter for group in groups for parameter in group["params"] if parameter.grad is not None]
    return (
        len(moving) == len(graph.moving)
        and all(map(operator.is_, moving, graph.moving))
        and all(
            group[name] == value
            for group, options in zip(groups, graph.options, strict=True)
            for name, value in options.items()
        )
    )


def _gradient(parameter: Parameter) -> Tensor:
    """As the parameter lies in memory, whoever has computed it: a graph is made for that."""
    gradient = parameter.grad
    assert gradient is not None, "asked of those that move"
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in ("params", "lr")}


def _difference(ours: Sequence[Tensor], theirs: Sequence[Tensor], before: Sequence[Tensor]) -> float:
    """The largest one of changes, relative to those; NaN where something became NaN."""
    apart = [torch.zeros((), dtype=torch.float64)]
    for a, b, c in zip(ours, theirs, before, strict=True):
        change = (b.double() - c.double()).norm()
        apart.append((a.double() - b.double()).norm() / (change + 1e-6 * b.double().norm() + 1e-30))
    return float(torch.stack(apart).max())
