"""How work on a GPU is recorded instead of done."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol
from weakref import WeakSet

import torch
from attrs import define, field
from torch import Tensor

from gancore.errors import RunFailed, first_line


class Graph(Protocol):
    def replay(self) -> None: ...


class Recorder(Protocol):
    """How work on the device is recorded instead of done."""

    def aside(self) -> AbstractContextManager[object]:
        """Around what is done before recording, apart from other work."""
        ...

    def record(
        self, work: Callable[[], list[Tensor]], streams: Sequence[torch.Generator]
    ) -> tuple[Graph, list[Tensor]]:
        """A graph of `work`, which draws from `streams`, and the tensors that every replay leaves its results in."""
        ...

    def default_stream(self) -> torch.Generator:
        """What is drawn from without a generator (dropout)."""
        ...

    def recover(self, streams: Sequence[torch.Generator]) -> None:
        """After a recording that has failed.

        Raises:
            RunFailed: training cannot go on in this process.
        """
        ...


@define(eq=False)
class CudaRecorder:
    """CUDA graphs on a stream of their own, in one pool of memory: none of them reads what another has left there. The
    pool ends with the last of them."""

    device: torch.device
    _stream: Any = field(default=None, init=False)
    _pool: Any = field(default=None, init=False)
    _graphs: "WeakSet[torch.cuda.CUDAGraph]" = field(factory=WeakSet, init=False)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._stream = self._stream or torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def record(
        self, work: Callable[[], list[Tensor]], streams: Sequence[torch.Generator]
    ) -> tuple[Graph, list[Tensor]]:
        graph = torch.cuda.CUDAGraph()
        for stream in streams:
            graph.register_generator_state(stream)
        if not self._graphs:
            self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.synchronize(self.device)
        # Other threads (data being pinned) may go on talking to the driver. Whoever replays the graph comes after what
        # torch does on this stream first: it puts random streams back to 0.
        with (
            self.aside(),
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
        ):
            left = work()
        self._graphs.add(graph)
        return graph, left

    def default_stream(self) -> torch.Generator:
        index = self.device.index if self.device.index is not None else torch.cuda.current_device()
        return torch.cuda.default_generators[index]

    def recover(self, streams: Sequence[torch.Generator]) -> None:
        torch.cuda.synchronize(self.device)
        try:  # a capture that breaks off may leave a generator waiting for its end
            for stream in (None, *streams):
                torch.empty(1, device=self.device).uniform_(generator=stream)
        except RuntimeError as error:
            raise RunFailed(
                'a CUDA graph could not be captured, and has left a random stream unusable; set train.capture = "off" '
                f"and resume ({first_line(error)})"
            ) from error
