"""An optimizer's step as a compiled graph: of a small network's update, looking things up takes most of the time.

On a GPU, a fused optimizer is one launch already; a CPU walks through tensors by itself.
"""

import copy
import logging
import operator
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from gancore.training.compiled import Machine, reason, undisturbed
from gancore.training.draws import UntraceableError
from gancore.training.hostside import HostSide
from gancore.training.player import Player

# Between compiled and operator by operator, relative to the change of each tensor: the arithmetic is the same.
TOLERANCE = 1e-3
PATIENCE = 3  # steps in a row that make further state
MANY = 64  # parameters, beside whose phase their update is nothing, and takes long to compile

_log = logging.getLogger("gancore")
_OTHERWISE = {"fused": None, "foreach": False, "capturable": True}  # how torch's own write a step in plain operators
_COUNT = "step"  # what torch's optimizers call the number of steps, of each parameter


@frozen(eq=False)
class _Graph:
    """A step in a graph, and for what.

    Attributes:
        moving: the parameters, and `kept` by parameter the dictionary that its state is in.
        own: parameters and state: tensors that the step changes.
        rates: the groups' learning rates, which change from step to step, as they were last `filled`.
    """

    call: Callable[..., Any]
    moving: list[Parameter]
    kept: list[dict[str, Any] | None]
    own: list[Tensor]
    rates: list[Tensor]
    filled: list[float]

    def is_of(self, moving: list[Parameter], state: Mapping[Tensor, dict[str, Any]]) -> bool:
        """Whether it changes these parameters, and the state that they have now."""
        return (
            len(moving) == len(self.moving)
            and all(map(operator.is_, moving, self.moving))
            and all(state.get(parameter) is kept for parameter, kept in zip(moving, self.kept, strict=True))
        )


@define(eq=False)
class CompiledStep:
    """Takes the steps of a player's optimizer by a graph that is made of the optimizer's own code.

    Only ordinary steps: of all parameters, with the options that the optimizer was made with, and a rate that is not 0.
    So it depends on nothing but the state whether the graph takes a step, and a resumed run decides the same. All other
    steps the optimizer takes itself, and all steps if it cannot be traced: one that reads a tensor, draws, or was seen
    to keep numbers in Python.
    """

    _player: Player
    _machine: Machine
    failed: str = field(default="", init=False)
    _say: Callable[[str], None] = field(default=_log.info, init=False)
    _graph: _Graph | None = field(default=None, init=False)
    _unready: int = field(default=0, init=False)
    _options: list[dict[str, Any]] = field(init=False)
    _step: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        optimizer = self._player.optimizer
        self._options = list(map(_options, optimizer.param_groups))
        self._step = optimizer.__dict__.get("step")  # a schedule's, which wants to know that there was one
        if len(self._player.parameters) > MANY:
            self.failed = f"there are more than {MANY} parameters"

    def __call__(self) -> None:
        optimizer = self._player.optimizer
        moving = _moving(optimizer)
        if self.failed or not self._is_ordinary(optimizer, moving):
            optimizer.step()
            return
        graph = self._graph
        if graph is None or not graph.is_of(moving, optimizer.state):
            graph = self._graph = self._compile(moving)
        if graph is None:
            optimizer.step()
            return
        for i, group in enumerate(optimizer.param_groups):
            rate = float(group["lr"])
            if graph.filled[i] != rate:
                graph.filled[i] = rate
                graph.rates[i].fill_(rate)
        with torch.no_grad():
            graph.call(*graph.rates, *map(_gradient, moving), *graph.own)

    def heard_by(self, say: Callable[[str], None]) -> None:
        """To whom to say what the user should know."""
        self._say = say

    def _is_ordinary(self, optimizer: Optimizer, moving: list[Parameter]) -> bool:
        groups = optimizer.param_groups
        return (
            len(groups) == len(self._options)
            and all(parameter.grad is not None for parameter in moving)
            and all(group["lr"] != 0 for group in groups)
            and not any(_hooks(optimizer))
            and optimizer.__dict__.get("step") is self._step
            and all(
                group[name] == value
                for group, options in zip(groups, self._options, strict=True)
                for name, value in options.items()
            )
        )

    def _compile(self, moving: list[Parameter]) -> _Graph | None:
        optimizer = self._player.optimizer
        begin, before = time.perf_counter(), HostSide([("the optimizer", optimizer)])
        try:
            step = _Traceable(optimizer)
            own = [*moving, *step.state]
            filled = [float(group["lr"]) for group in optimizer.param_groups]
            rates = [torch.tensor(rate, dtype=torch.float64) for rate in filled]
            examples = [value.detach() for value in (*rates, *map(_gradient, moving), *own)]
            graph = make_fx(step, tracing_mode="fake")(*examples)
            if changed := before.put_back():
                raise UntraceableError(f"{changed[0]} changes in Python")
            _refuse(graph)
            with torch.no_grad(), undisturbed():
                call = self._machine(_scalars_first(copy.deepcopy(graph)), examples)
                ours, theirs = ([example.clone() for example in examples] for _ in range(2))
                call(*ours), graph(*theirs)
            difference = _difference(ours, theirs, examples)
            if not difference <= TOLERANCE:
                raise UntraceableError(f"it would differ by {difference:.1g}")
        except _NoStateYet:
            before.put_back()
            self._unready += 1
            if self._unready == PATIENCE:
                self._without("it makes further state in every step")
            return None
        except Exception as error:
            before.put_back()
            self._without(reason(error))
            return None
        self._unready = 0
        self._say(f"{self._player.role}'s update compiled in {time.perf_counter() - begin:.0f} s")
        optimizer._opt_called = True  # type: ignore[attr-defined]  # what a schedule asks, to warn those who forget
        return _Graph(call, moving, [optimizer.state.get(parameter) for parameter in moving], own, rates, filled)

    def _without(self, why: str) -> None:
        self.failed = why
        self._say(f"{self._player.role}'s update is not compiled: {why}")


class _NoStateYet(Exception):  # noqa: N818 - the name says it
    """The optimizer makes its state in this step."""


class _Traceable:
    """An optimizer's step as a function of tensors, which it changes: rates, gradients, parameters, state."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._sizes = [len(group["params"]) for group in optimizer.param_groups]
        self._kept = [dict(optimizer.state.get(parameter, {})) for parameter in _moving(optimizer)]
        self.state = [value for kept in self._kept for value in kept.values() if isinstance(value, Tensor)]

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        given = iter(flat)
        rates = [next(given) for _ in self._sizes]
        gradients = [next(given) for _ in self._kept]
        parameters = [next(given) for _ in self._kept]
        kept = [
            {name: next(given) if isinstance(value, Tensor) else value for name, value in of.items()}
            for of in self._kept
        ]
        counts = [(of, of[_COUNT]) for of in kept if _is_count(of.get(_COUNT))]
        for of, count in counts:  # 1 - 0.999^t has to be exact
            of[_COUNT] = count.double()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        left = iter(parameters)
        states = dict(zip(parameters, (dict(of) for of in kept), strict=True))
        with self._swapped([[next(left) for _ in range(size)] for size in self._sizes], rates, states):
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
        for of, count in counts:
            count.copy_(of[_COUNT])
        return []

    @contextmanager
    def _swapped(
        self, parameters: list[list[Tensor]], rates: list[Tensor], states: dict[Tensor, dict[str, Any]]
    ) -> Iterator[None]:
        optimizer = self._optimizer
        groups, state, flag = optimizer.param_groups, optimizer.state, torch.compiler._is_compiling_flag
        others = [
            {**group, **{key: value for key, value in _OTHERWISE.items() if key in group}, "params": several, "lr": lr}
            for group, several, lr in zip(groups, parameters, rates, strict=True)
        ]
        try:
            optimizer.param_groups, optimizer.state = others, defaultdict(dict, states)
            torch.compiler._is_compiling_flag = True  # torch's optimizers would ask for a GPU otherwise
            with torch.no_grad():
                yield
            options = zip(map(_options, optimizer.param_groups), map(_options, groups), strict=True)
            if any(now != before | {k: v for k, v in _OTHERWISE.items() if k in before} for now, before in options):
                raise UntraceableError("its options change")
        finally:
            torch.compiler._is_compiling_flag = flag
            optimizer.param_groups, optimizer.state = groups, state


def _scalars_first(graph: GraphModule) -> GraphModule:
    """The same function, in place. A compiler would compute scalars again for every element of the tensors that they
    are used for, unless those look at them as places in memory."""
    scalars: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op != "output" and node.meta["val"].dim() == 0 and scalars.issuperset(node.all_input_nodes):
            scalars.add(node)
    for node in [node for node in graph.graph.nodes if node in scalars]:
        if users := [user for user in node.users if user not in scalars and user.op != "output"]:
            with graph.graph.inserting_after(node):
                place = graph.graph.call_function(torch.ops.aten.as_strided.default, (node, [], []))
            place.meta["val"] = node.meta["val"]
            for user in users:
                user.replace_input_with(node, place)
    graph.recompile()
    return graph


def _refuse(graph: GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten._local_scalar_dense.default:
            raise UntraceableError("the value of a tensor is read in Python")
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise UntraceableError("it draws random numbers")


def _moving(optimizer: Optimizer) -> list[Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _hooks(optimizer: Optimizer) -> tuple[Any, ...]:
    """Those of this optimizer's steps, and those of all optimizers'."""
    everywhere = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
    return (*everywhere, optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)


def _is_count(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 0 and value.dtype == torch.float32


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
