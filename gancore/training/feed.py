"""The feed: batches of reals, in a shuffled order that a checkpoint can go on with in the middle of an epoch.

Data that fit stay on the device, images as uint8 or, if they are few, normalised, and are gathered there; everything
else comes from DataLoader workers through pinned memory, copied beside the computation, one batch ahead. Both follow
the same order: one permutation per epoch, derived from the seed. The last, smaller batch of an epoch is dropped.
"""

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from attrs import frozen
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from gancore.contracts import DataSpec
from gancore.errors import DataError
from gancore.training.damaged import WHOLE, Skipping
from gancore.training.places import ANYWHERE, Places
from gancore.training.ranks import ALONE, Ranks
from gancore.training.streams import derive

# Resident data may take this share of the device's free memory; the rest is for networks and their activations.
RESIDENT_SHARE = 0.25
SMALL = 2**24  # numbers: 64 MiB, which resident data may take normalised
TOLD = 20  # damaged samples whose cause is kept


class Feed(Protocol):
    def next(self, into: Places = ANYWHERE) -> tuple[Tensor, Tensor | None]:
        """The next reals `(N, *shape)`, float32 in the data's range, and their labels: in the tensors `into`, where
        that saves a copy."""
        ...

    def sample(self, n: int) -> Tensor:
        """At most n reals, the same every time, without touching the order of training."""
        ...

    def __len__(self) -> int:
        """Samples of the data."""
        ...

    @property
    def damaged(self) -> "Mapping[int, str]":
        """Of the samples that were skipped, why: by their index."""
        ...

    @property
    def waited(self) -> float:
        """Seconds that somebody has waited for samples to be read."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def open_feed(
    data: "Dataset[Any]",
    spec: DataSpec,
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    workers: int,
    ranks: Ranks = ALONE,
    skip_damaged: bool = False,
) -> Feed:
    """Resident where the data are tensors and fit, else streamed. `batch_size` is that of all processes together.

    Args:
        skip_damaged: do without streamed samples that cannot be read.

    Raises:
        DataError: fewer samples than a batch, or samples that are not what `spec` says.
    """
    size = len(data)  # type: ignore[arg-type]
    if size < batch_size:
        raise DataError(
            f"the data have {size} samples, fewer than train.batch_size = {batch_size}; choose a smaller one"
        )
    skipping = Skipping(data) if skip_damaged and not isinstance(data, TensorDataset) else None
    _check(spec, skipping[0][:-1] if skipping else data[0])
    data = skipping or data
    order = Order(size, batch_size, seed, ranks.share(batch_size))
    if isinstance(data, TensorDataset) and _fits(data, device):
        return ResidentFeed(data, spec, order, device)
    return StreamedFeed(data, spec, order, device, workers)


def hold_out(
    data: "Dataset[Any]", n: int, device: torch.device, *, labelled: bool
) -> "tuple[Dataset[Any], tuple[Tensor, Tensor | None] | None]":
    """Take n samples away from the data: whatever the seed of the run, always the same, so that runs compare and a run
    that goes on with another seed has never seen them.

    Returns:
        the rest, and those taken as they reach D: `(n, *shape)` with their labels; None for n = 0.

    Raises:
        DataError: there are not as many.
    """
    if not n:
        return data, None
    size = len(data)  # type: ignore[arg-type]
    if n >= size:
        raise DataError(f"train.held_out = {n} leaves nothing of {size} samples to train on")
    shuffled = torch.randperm(size, generator=torch.Generator().manual_seed(derive(0, "held out")))
    taken, kept = shuffled[:n], shuffled[n:].sort().values
    samples = [data[i] for i in taken.tolist()]  # one that cannot be read is an error: few, and chosen to judge by
    values = _normalised(torch.stack([sample[0] for sample in samples]).to(device))
    labels = torch.tensor([int(sample[1]) for sample in samples], device=device) if labelled else None
    if isinstance(data, TensorDataset):  # stays one, so that it can stay resident
        return TensorDataset(*(tensor[kept] for tensor in data.tensors)), (values, labels)
    return Subset(data, kept.tolist()), (values, labels)


class Order:
    """Indices, epoch by epoch: of every batch the `share` that is this process's (all of it by default). Its whole
    state is where it is."""

    def __init__(self, size: int, batch_size: int, seed: int, share: slice | None = None) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.share = share or slice(0, batch_size)
        self.epoch, self.position = 0, 0
        self._drawn: tuple[int, Tensor] | None = None

    def permutation(self) -> Tensor:
        if self._drawn is None or self._drawn[0] != self.epoch:
            rng = torch.Generator().manual_seed(derive(self.seed, f"epoch {self.epoch}"))
            self._drawn = (self.epoch, torch.randperm(self.size, generator=rng))
        return self._drawn[1]

    def next(self) -> tuple[int, slice]:
        """Epoch and slice of its permutation."""
        if self.position + self.batch_size > self.size:
            self.epoch, self.position = self.epoch + 1, 0
        here = slice(self.position + self.share.start, self.position + self.share.stop)
        self.position += self.batch_size
        return self.epoch, here

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]


class ResidentFeed:
    """All samples on the device; a batch is one gather and one normalisation."""

    def __init__(self, data: TensorDataset, spec: DataSpec, order: Order, device: torch.device) -> None:
        values = data.tensors[0].to(device)
        self._values = _normalised(values) if values.numel() <= SMALL else values
        self._labels = data.tensors[1].to(device) if spec.classes else None
        self._device = device
        self._order = order
        self._permutation: tuple[int, Tensor] = (-1, self._values)  # of which epoch, on the device
        self.damaged: Mapping[int, str] = {}
        self.waited = 0.0

    def __len__(self) -> int:
        return len(self._values)

    def next(self, into: Places = ANYWHERE) -> tuple[Tensor, Tensor | None]:
        epoch, here = self._order.next()
        if epoch != self._permutation[0]:
            self._permutation = (epoch, self._order.permutation().to(self._device, non_blocking=True))
        index = self._permutation[1][here]
        # Of bytes on a CPU, ten times as fast as indexing.
        if self._values.dtype == torch.uint8:
            values = _normalised(torch.index_select(self._values, 0, index), into[0])
        else:
            values = torch.index_select(self._values, 0, index, out=into[0])
        return values, None if self._labels is None else torch.index_select(self._labels, 0, index, out=into[1])

    def sample(self, n: int) -> Tensor:
        index = _spread(len(self._values), n).to(self._device)
        return _normalised(self._values.index_select(0, index))

    def state_dict(self) -> dict[str, Any]:
        return self._order.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order.load_state_dict(state)


@frozen(eq=False)
class _Batch:
    """A batch on the device.

    Attributes:
        damaged: indices of samples in whose places there are others.
        copied: when that is done; None if it is.
    """

    values: Tensor
    labels: Tensor | None
    damaged: list[int]
    copied: "torch.cuda.Event | None" = None


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class StreamedFeed:
    """Samples decoded by worker processes ahead of time, copied from pinned memory."""

    def __init__(self, data: "Dataset[Any]", spec: DataSpec, order: Order, device: torch.device, workers: int) -> None:
        self._data, self._spec, self._device, self._workers = data, spec, device, workers
        self._order = order
        self._batches: Iterator[Any] | None = None
        self._ahead: _Batch | Exception | None = None
        # Without workers a batch ahead would draw what its transforms need before a checkpoint, and again after it.
        ahead = device.type == "cuda" and workers > 0
        self._copies = torch.cuda.Stream(device) if ahead else None  # type: ignore[no-untyped-call]
        self.damaged: dict[int, str] = {}
        self.waited = 0.0

    def __len__(self) -> int:
        return self._order.size

    def next(self, into: Places = ANYWHERE) -> tuple[Tensor, Tensor | None]:
        batch = self._fetched() if self._ahead is None else self._ahead
        if isinstance(batch, Exception):
            raise batch
        # On the CPU there is nothing to copy, and the workers are ahead anyway.
        self._ahead = self._fetched() if self._copies is not None else None
        for index in batch.damaged:
            if index not in self.damaged:
                # In this process once more: a worker cannot tell. The first few will do.
                why = self._data.why if isinstance(self._data, Skipping) else str
                self.damaged[index] = why(index) if len(self.damaged) < TOLD else ""
        self._order.next()  # counts what was consumed, not what was fetched ahead
        if batch.copied is not None:
            here = torch.cuda.current_stream(self._device)
            here.wait_event(batch.copied)
            for tensor in (batch.values, batch.labels):
                if tensor is not None:
                    tensor.record_stream(here)
        return _normalised(batch.values, into[0]), batch.labels

    def _fetched(self) -> "_Batch | Exception":
        """The next batch, on its way to the device; or why there is none, to be raised when it is its turn."""
        if self._batches is None:
            self._batches = iter(self._loader())
        begin = time.perf_counter()
        try:
            values, *rest = next(self._batches)
        except (DataError, OSError, EOFError) as error:
            if self._workers and "in DataLoader worker process" not in str(error):
                return _caused(RuntimeError(f"DataLoader worker: its connection broke ({type(error).__name__})"), error)
            # torch puts a worker's traceback into the message; the last line is what was meant for people.
            return _caused(DataError(str(error).rpartition("Error: ")[2].strip()), error)
        except Exception as error:
            return error
        self.waited += time.perf_counter() - begin
        damaged = rest[-1][rest[-1] != WHOLE].tolist() if isinstance(self._data, Skipping) else []
        labels = rest[0] if self._spec.classes else None
        if self._copies is None:
            return _Batch(values.to(self._device), None if labels is None else labels.to(self._device), damaged)
        with torch.cuda.stream(self._copies):
            values = values.to(self._device, non_blocking=True)
            labels = None if labels is None else labels.to(self._device, non_blocking=True)
            return _Batch(values, labels, damaged, self._copies.record_event())

    def sample(self, n: int) -> Tensor:
        index = _spread(len(self._data), n)  # type: ignore[arg-type]
        return _normalised(torch.stack([self._data[i][0] for i in index.tolist()]).to(self._device))

    def state_dict(self) -> dict[str, Any]:
        return {**self._order.state_dict(), "damaged": dict(self.damaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order.load_state_dict(state)
        self.damaged = dict(state["damaged"])
        self._batches = self._ahead = None  # fetched from another place

    def _loader(self) -> "DataLoader[Any]":
        return DataLoader(
            self._data,
            batch_sampler=_Batches(self._order),  # torch asks for a Sampler, an iterable does
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_leave_endings_to_the_parent,
            # Only seeds what happens inside workers; without it the loader would draw from torch's global generator.
            generator=torch.Generator().manual_seed(derive(self._order.seed, "workers")),
        )


def _leave_endings_to_the_parent(_: int) -> None:
    """Ctrl-C reaches every process of a terminal; the parent ends its workers itself. One that is handing over a batch
    meanwhile has nobody to tell: what the parent has to say is not to be drowned by it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    said = sys.excepthook

    def unless_cut_off(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if not isinstance(error, ConnectionError | EOFError):
            said(kind, error, trace)

    sys.excepthook = unless_cut_off


class _Batches:
    """Lists of indices from where an order stands now; runs ahead of it on a copy."""

    def __init__(self, order: Order) -> None:
        self._ahead = Order(order.size, order.batch_size, order.seed, order.share)
        self._ahead.load_state_dict(order.state_dict())

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            _, here = self._ahead.next()
            yield self._ahead.permutation()[here].tolist()


def _normalised(values: Tensor, into: Tensor | None = None) -> Tensor:
    """uint8 images to float32 in [-1, 1]; vectors as they are."""
    if values.dtype != torch.uint8:
        return values
    scaled = values.float().div_(127.5)
    return scaled.sub_(1) if into is None else torch.sub(scaled, 1, out=into)


def _spread(size: int, n: int) -> Tensor:
    """At most n indices, evenly spread over the data (which may be sorted by class)."""
    n = min(n, size)
    return torch.arange(n) * size // n


def _fits(data: TensorDataset, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return sum(tensor.nbytes for tensor in data.tensors) <= RESIDENT_SHARE * free


def _check(spec: DataSpec, first: Any) -> None:
    """The data set's own promise, checked on its first sample."""
    if not isinstance(first, tuple | list) or not first or not isinstance(first[0], Tensor):
        raise DataError(f"a sample must be a tuple of tensors (value,) or (value, label), not {type(first).__name__}")
    value = first[0]
    dtype = torch.uint8 if spec.is_image else torch.float32
    if tuple(value.shape) != spec.shape or value.dtype != dtype:
        found = f"{tuple(value.shape)} {value.dtype}"
        raise DataError(f"the data set says its samples are {spec.shape} {dtype}, but the first one is {found}")
    if spec.classes and len(first) < 2:
        raise DataError(f"the data set says it has {spec.classes} classes, but its samples have no label")
