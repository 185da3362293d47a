"""Batches of reals: their order, their values, and going on in the middle of an epoch."""

import errno
import signal
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from gancore import DataError, DataSpec
from gancore.training.feed import (
    Feed,
    Order,
    ResidentFeed,
    StreamedFeed,
    _leave_endings_to_the_parent,
    hold_out,
    open_feed,
)

CPU = torch.device("cpu")
VECTORS = DataSpec((1,), range=None)
LABELLED = DataSpec((1,), classes=3, range=None)


def numbered(n: int) -> TensorDataset:
    return TensorDataset(torch.arange(n).float()[:, None])


class Listed(Dataset[tuple[Tensor, ...]]):
    """The same samples as a TensorDataset's, one by one: what a folder of files looks like to the engine."""

    def __init__(self, data: TensorDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return self.data[index]


def opened(data: Dataset[tuple[Tensor, ...]], spec: DataSpec = VECTORS, batch_size: int = 4, workers: int = 0) -> Feed:
    return open_feed(data, spec, batch_size=batch_size, seed=7, device=CPU, workers=workers)


@given(size=st.integers(1, 50), batch=st.integers(1, 50), epochs=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_an_epoch_shows_every_sample_at_most_once(size: int, batch: int, epochs: int) -> None:
    batch = min(batch, size)
    order = Order(size, batch, seed=0)
    for epoch in range(epochs):
        shown: list[int] = []
        for _ in range(size // batch):
            number, here = order.next()
            assert number == epoch
            shown += order.permutation()[here].tolist()
        assert len(set(shown)) == len(shown) == size // batch * batch


def test_epochs_are_shuffled_differently() -> None:
    feed = opened(numbered(20), batch_size=20)
    first, second = feed.next()[0], feed.next()[0]
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(0).values, second.sort(0).values)


def test_tensors_stay_resident_and_other_data_are_streamed() -> None:
    assert isinstance(opened(numbered(8)), ResidentFeed)
    assert isinstance(opened(Listed(numbered(8))), StreamedFeed)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_and_resident_data_come_in_the_same_order(workers: int) -> None:
    resident, streamed = opened(numbered(10)), opened(Listed(numbered(10)), workers=workers)
    for _ in range(7):
        assert torch.equal(resident.next()[0], streamed.next()[0])


@pytest.mark.parametrize("streamed", [False, True])
def test_a_feed_goes_on_where_its_state_says(streamed: bool) -> None:
    data = Listed(numbered(10)) if streamed else numbered(10)
    feed = opened(data)
    for _ in range(3):
        feed.next()
    state = feed.state_dict()
    expected = [feed.next()[0] for _ in range(4)]
    other = opened(data)
    other.next()
    other.load_state_dict(state)
    assert all(torch.equal(batch, other.next()[0]) for batch in expected)


def test_bytes_become_numbers_from_minus_one_to_one() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1)
    feed = opened(TensorDataset(pixels), DataSpec((1, 1, 1)), batch_size=3)
    values = feed.next()[0].flatten().sort().values
    torch.testing.assert_close(values, torch.tensor([-1.0, -0.6, 1.0]))
    assert values.dtype == torch.float32


def test_labels_stay_with_their_samples() -> None:
    data = TensorDataset(torch.arange(9).float()[:, None], torch.arange(9) % 3)
    for source in (data, Listed(data)):
        values, labels = opened(source, LABELLED).next()
        assert labels is not None
        assert torch.equal(values.flatten().long() % 3, labels)


def test_unlabelled_data_have_no_labels() -> None:
    assert opened(numbered(4)).next()[1] is None


def test_a_sample_of_reals_is_spread_over_sorted_data_and_touches_no_order() -> None:
    feed = opened(numbered(100))
    assert feed.sample(4).flatten().tolist() == [0, 25, 50, 75]
    assert feed.sample(1000).shape == (100, 1)
    assert torch.equal(feed.next()[0], opened(numbered(100)).next()[0])


@pytest.mark.parametrize(
    ("data", "spec", "message"),
    [
        (numbered(3), VECTORS, "the data have 3 samples, fewer than train.batch_size = 4; choose a smaller one"),
        (numbered(8), DataSpec((2,)), r"says its samples are \(2,\) torch.float32, but the first one is \(1,\)"),
        (TensorDataset(torch.zeros(8, 1).double()), VECTORS, "but the first one is .* torch.float64"),
        (numbered(8), LABELLED, "says it has 3 classes, but its samples have no label"),
    ],
)
def test_data_that_break_their_promise_are_refused(data: TensorDataset, spec: DataSpec, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(data, spec)


def test_a_sample_that_is_no_tuple_of_tensors_is_refused() -> None:
    with pytest.raises(DataError, match="must be a tuple of tensors"):
        opened([1.0] * 8)  # type: ignore[arg-type]


class Damaged(Listed):
    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        if index > 0:
            raise DataError(f"{index}.png cannot be decoded; delete it")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_is_named_without_a_traceback(workers: int) -> None:
    feed = opened(Damaged(numbered(8)), workers=workers)
    with pytest.raises(DataError, match=r"\A\d\.png cannot be decoded; delete it\Z"):
        feed.next()


# ------------------------------------------------------------------------------------------- what D never trains on


def held(
    data: Dataset[tuple[Tensor, ...]], n: int, *, labelled: bool = False
) -> tuple[Dataset[tuple[Tensor, ...]], Tensor, Tensor | None]:
    rest, taken = hold_out(data, n, CPU, labelled=labelled)
    assert taken is not None
    return rest, *taken


def values_of(data: Dataset[tuple[Tensor, ...]]) -> list[int]:
    return [int(data[i][0]) for i in range(len(data))]  # type: ignore[arg-type]  # it has a length


@given(size=st.integers(2, 60), share=st.floats(0, 1), tensors=st.booleans())
@settings(max_examples=50, deadline=None)
def test_held_out_and_left_are_together_the_data_each_once(size: int, share: float, tensors: bool) -> None:
    n = max(1, min(size - 1, round(share * size)))
    data = numbered(size)
    rest, taken, _ = held(data if tensors else Listed(data), n)
    assert (len(values_of(rest)), taken.shape) == (size - n, (n, 1))
    assert sorted([*values_of(rest), *taken[:, 0].int().tolist()]) == list(range(size))
    assert values_of(rest) == sorted(values_of(rest)), "what is left keeps its order"


def test_the_same_are_held_out_every_time() -> None:
    _, once, _ = held(numbered(100), 10)
    torch.manual_seed(1)
    _, streamed, _ = held(Listed(numbered(100)), 10)
    assert torch.equal(once, streamed)
    assert len(set(once.flatten().tolist())) == 10


def test_holding_out_draws_from_no_other_stream() -> None:
    before = torch.get_rng_state()
    held(numbered(100), 10)
    assert torch.equal(before, torch.get_rng_state())


def test_tensors_stay_tensors_so_that_they_can_stay_resident() -> None:
    data = TensorDataset(torch.arange(9.0)[:, None], torch.arange(9) % 3)
    rest, _, _ = held(data, 3)
    assert isinstance(rest, TensorDataset)
    assert isinstance(opened(rest, LABELLED), ResidentFeed)
    assert rest.tensors[1].tolist() == [int(value) % 3 for value in rest.tensors[0]]
    streamed, _, _ = held(Listed(data), 3)
    assert isinstance(streamed, Subset)
    assert isinstance(opened(streamed, LABELLED), StreamedFeed)


@pytest.mark.parametrize("streamed", [False, True])
def test_labels_are_held_out_with_their_samples(streamed: bool) -> None:
    data = TensorDataset(torch.arange(9.0)[:, None], torch.arange(9) % 3)
    _, values, labels = held(Listed(data) if streamed else data, 5, labelled=True)
    assert labels is not None
    assert labels.dtype == torch.int64
    assert labels.tolist() == [int(value) % 3 for value in values]
    assert held(data, 5, labelled=False)[2] is None, "the data's spec says that nobody wants them"


def test_images_are_held_out_as_discriminators_see_them() -> None:
    pictures = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    _, taken, _ = held(TensorDataset(pictures), 2)
    assert taken.dtype == torch.float32
    shown = {round(value, 6) for value in taken.flatten().tolist()}
    assert len(shown) == 2
    assert shown < {-1.0, -0.6, 1.0}


def test_none_held_out_leaves_the_data_as_they_are() -> None:
    data = numbered(3)
    assert hold_out(data, 0, CPU, labelled=False) == (data, None)


@pytest.mark.parametrize("n", [3, 4])
def test_something_has_to_be_left_to_train_on(n: int) -> None:
    with pytest.raises(DataError, match=rf"^train.held_out = {n} leaves nothing of 3 samples to train on$"):
        held(numbered(3), n)


def test_a_worker_that_is_cut_off_while_it_hands_over_a_batch_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: said.append(kind))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    _leave_endings_to_the_parent(0)
    for error in (ConnectionResetError(), EOFError(), OSError(errno.EMFILE, ""), ValueError()):
        sys.excepthook(type(error), error, None)
    assert said == [OSError, ValueError]
