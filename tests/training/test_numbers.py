"""Numbers for the log: means, and forgetting after a look."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gancore.training.numbers import Numbers

WHEREVER = torch.device("cpu")
values = st.floats(width=32, allow_nan=False, allow_infinity=False)


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
    assert sum(len(group["values"]) for group in numbers.state_dict()) == 5
    assert numbers.fetch() == {"a": (n - 1) / 2}


def test_an_interval_that_ends_at_a_compaction_is_complete() -> None:
    numbers = Numbers()
    for _ in range(Numbers.COMPACT_AT):
        numbers.add("a", torch.tensor(4.0))
    assert numbers.fetch() == {"a": 4.0}


def test_numbers_keep_no_history() -> None:
    numbers = Numbers()
    numbers.add("a", torch.tensor(1.0, requires_grad=True) * 2)
    assert not numbers.as_row()[1][0].requires_grad


def test_a_nan_is_not_masked() -> None:
    numbers = Numbers()
    numbers.add("a", torch.tensor(float("nan")))
    numbers.add("a", torch.tensor(1.0))
    assert math.isnan(numbers.fetch()["a"])


def test_infinities_of_both_signs_are_not_masked() -> None:
    numbers = Numbers()
    for value in (math.inf, 1.0, -math.inf):
        numbers.add("a", torch.tensor(value))
    numbers.add("b", torch.tensor(math.inf))
    found = numbers.fetch()
    assert math.isnan(found["a"])
    assert found["b"] == math.inf


def test_a_row_is_what_was_added_one_by_one() -> None:
    phase = Numbers()
    for name, value in (("b", 1.0), ("a", 2.0)):
        phase.add(name, torch.tensor(value))
    names, (row,) = phase.as_row()
    numbers = Numbers()
    numbers.add_row(names, row)
    numbers.add("a", torch.tensor(4.0))
    assert numbers.fetch() == {"a": 3.0, "b": 1.0}


def test_the_row_of_one_number_is_the_number() -> None:
    """So that it does not matter how often it came in a row and how often by itself."""
    phase, numbers = Numbers(), Numbers()
    phase.add("a", torch.tensor(2.0))
    names, (row,) = phase.as_row()
    numbers.add_row(names, row)
    numbers.add("a", torch.tensor(4.0))
    assert numbers.fetch() == {"a": 3.0}
    assert Numbers().as_row() == ((), [])


def test_rows_and_numbers_make_a_row_together() -> None:
    """As where a captured phase has a compiled one in it."""
    phase, numbers = Numbers(), Numbers()
    phase.add_row(("a", "b"), torch.tensor([1.0, 2.0]))
    phase.add("c", torch.tensor(3.0))
    phase.add_row(("a", "b"), torch.tensor([5.0, 6.0]))
    names, (row,) = phase.as_row()
    numbers.add_row(names, row)
    assert numbers.fetch() == phase.fetch() == {"a": 3.0, "b": 4.0, "c": 3.0}


def test_a_number_of_another_shape_is_one_number_or_an_error() -> None:
    numbers = Numbers()
    numbers.add("a", torch.tensor([[2.0]]))
    numbers.add("a", torch.tensor(4.0))
    with pytest.raises(ValueError, match=r"'norms' is a number for the log, and has shape \(3,\)"):
        numbers.add("norms", torch.ones(3))
    assert numbers.fetch() == {"a": 3.0}


def test_a_row_holds_all_types_of_numbers_exactly() -> None:
    phase = Numbers()
    phase.add("count", torch.tensor(2**24 + 1))
    phase.add("loss", torch.tensor(0.1))
    names, (row,) = phase.as_row()
    assert dict(zip(names, row.tolist(), strict=True)) == {"count": 2**24 + 1, "loss": torch.tensor(0.1).item()}


@given(st.lists(st.tuples(values, values), min_size=1, max_size=30), st.integers(0, 30), st.integers(2, 40))
def test_means_are_those_of_all_values_however_they_came(
    pairs: list[tuple[float, float]], alone: int, compact_at: int
) -> None:
    """In rows or one by one, before a checkpoint and after it."""
    numbers, exact = Numbers(), {"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}
    numbers.COMPACT_AT = compact_at  # type: ignore[misc]
    for i, pair in enumerate(pairs):
        if i < alone:
            for name, value in zip("ab", pair, strict=True):
                numbers.add(name, torch.tensor(value))
        else:
            numbers.add_row(("a", "b"), torch.tensor(pair))
        if i == len(pairs) // 2:
            state = numbers.state_dict()
            numbers = Numbers()
            numbers.COMPACT_AT = compact_at  # type: ignore[misc]
            numbers.load_state_dict(state, WHEREVER)
    found = numbers.fetch()
    for name, of_name in exact.items():
        size = math.fsum(map(abs, of_name)) / len(pairs)
        assert found[name] == pytest.approx(math.fsum(of_name) / len(pairs), rel=0, abs=1e-14 * size)
        if len(pairs) < compact_at:
            assert found[name] == math.fsum(of_name) / len(pairs)
