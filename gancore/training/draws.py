"""Random draws, lifted out of a phase that is traced: the graph is given the numbers, and the streams stay the same.

A generator is host state, so that a graph cannot hold it. Whatever a component draws from its stream with a shape of
its own (`torch.rand(shape, generator=context.rng)`) is drawn before the graph runs, by the same call in the same order:
a compiled run follows the same streams as an eager one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
# In place, and whatever stood there before does not matter.
_OVERWRITING = {
    _aten.uniform_.default,
    _aten.normal_.default,
    _aten.random_.default,
    _aten.random_.to,
    getattr(_aten.random_, "from"),
    _aten.exponential_.default,
    _aten.log_normal_.default,
    _aten.cauchy_.default,
    _aten.geometric_.default,
    _aten.bernoulli_.float,
}

# The same by a shorter way: of a few numbers, the draw itself is a third of the call.
_SHORTER = {_aten.rand.generator: torch.rand, _aten.randn.generator: torch.randn}


class UntraceableError(Exception):
    """What a phase does cannot be put into a graph; says why."""


@frozen(eq=False)
class Draw:
    """One call that draws. `into` describes the tensor that an in-place one fills."""

    call: Any
    args: tuple[Any, ...]
    options: dict[str, Any]
    into: "tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device] | None" = None

    def __call__(self) -> Tensor:
        if self.into is None:
            drawn: Tensor = self.call(*self.args, **self.options)
            return drawn
        shape, strides, dtype, device = self.into  # numbers are drawn in the order in which they lie
        empty = torch.empty_strided(shape, strides, dtype=dtype, device=device)
        filled: Tensor = self.call(empty, *self.args, **self.options)
        return filled

    def example(self) -> Tensor:
        """What it would draw; the stream stays where it is."""
        (generator,) = [v for v in (*self.args, *self.options.values()) if isinstance(v, torch.Generator)]
        state = generator.get_state()
        example = self()
        generator.set_state(state)
        return example


class Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every draw within, in order.

    Raises:
        UntraceableError: one depends on other tensors, or is from torch's global stream.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws: list[Draw] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        draw = _draw(func, args, kwargs)
        if draw is not None:
            self.draws.append(draw)
        return func(*args, **kwargs)


class Giving(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives, in order, numbers that were drawn before, in place of drawing them."""

    def __init__(self, drawn: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = list(drawn)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        draw = _draw(func, args, kwargs)
        if draw is None:
            return func(*args, **kwargs)
        given = self._left.pop(0)
        return given if draw.into is None else args[0].copy_(given)


def _draw(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Draw | None:
    """The draw that this call is, if it is one."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return None
    name = func._schema.name.removeprefix("aten::")
    if not any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values())):
        raise UntraceableError(f"{name} draws from torch's global random stream (dropout?)")
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    if not tensors:
        return Draw(_SHORTER.get(func, func), args, kwargs)
    if func in _OVERWRITING and len(tensors) == 1:
        into = tuple(args[0].shape), args[0].stride(), args[0].dtype, args[0].device
        return Draw(func, tuple(args[1:]), kwargs, into)
    raise UntraceableError(f"{name} draws random numbers that depend on other numbers")
