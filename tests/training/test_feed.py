"""Batches of reals: their order, their values, and going on in the middle of an epoch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from gancore import DataError, DataSpec
from gancore.training.feed import Feed, Order, ResidentFeed, StreamedFeed, open_feed

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
