"""Numbers for the log: means, and forgetting after a look."""

import math

import torch

from gancore.training.numbers import Numbers


def test_fetch_gives_means_since_the_last_fetch() -> None:
    numbers = Numbers()
    for value in (1.0, 2.0, 6.0):
        numbers.add("a", torch.tensor(value))
    numbers.add("b", torch.tensor(-1.0))
    assert numbers.fetch() == {"a": 3.0, "b": -1.0}
    assert numbers.fetch() == {}


def test_a_long_interval_is_summed_up_on_the_way() -> None:
    numbers = Numbers()
    n = 3 * Numbers.COMPACT_AT + 5
    for i in range(n):
        numbers.add("a", torch.tensor(float(i)))
    assert len(numbers._values["a"]) == 5
    assert numbers.fetch() == {"a": (n - 1) / 2}


def test_an_interval_that_ends_at_a_compaction_is_complete() -> None:
    numbers = Numbers()
    for _ in range(Numbers.COMPACT_AT):
        numbers.add("a", torch.tensor(4.0))
    assert numbers.fetch() == {"a": 4.0}


def test_numbers_keep_no_history() -> None:
    numbers = Numbers()
    numbers.add("a", torch.tensor(1.0, requires_grad=True) * 2)
    assert not numbers._values["a"][0].requires_grad


def test_a_nan_is_not_masked() -> None:
    numbers = Numbers()
    numbers.add("a", torch.tensor(float("nan")))
    numbers.add("a", torch.tensor(1.0))
    assert math.isnan(numbers.fetch()["a"])
