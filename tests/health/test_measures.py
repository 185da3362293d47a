"""What is measured of scores and samples, by hand and against all pairs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gancore.health.measures import auc, distances, duplicates, slope_at


@pytest.mark.parametrize("nan_in", [{"real"}, {"fake"}, {"real", "fake"}])
def test_a_score_that_is_nan_makes_no_number_of_the_balance(nan_in: set[str]) -> None:
    scores = {name: torch.tensor([0.0, math.nan if name in nan_in else 1.0]) for name in ("real", "fake")}
    assert math.isnan(float(auc(**scores)))


def test_samples_that_are_nan_are_no_copies_and_no_others() -> None:
    well, sick = torch.rand(5, 2), torch.full((5, 2), math.nan)
    assert math.isnan(float(duplicates(distances(well), distances(sick))))
    assert math.isnan(float(duplicates(distances(sick), distances(well))))


def test_ds_slope_is_heard_where_the_loss_has_one_and_nan_stays_nan() -> None:
    one, none = torch.tensor([6.0, 0.0]), torch.zeros(2)
    assert float(slope_at(one, torch.tensor([2.0, 0.0]))) == 3.0
    assert float(slope_at(none, none)) == 0.0
    nan = torch.tensor([math.nan, 0.0])
    assert math.isnan(float(slope_at(one, nan)))
    assert math.isnan(float(slope_at(nan, none)))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_auc_is_the_share_of_ordered_pairs(real: list[int], fake: list[int]) -> None:
    pairs = [(r > f) + (r == f) / 2 for r in real for f in fake]
    found = auc(torch.tensor(real).float(), torch.tensor(fake).float())
    assert float(found) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_distances_and_duplicates_by_hand() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    assert sorted(distances(x).tolist()) == [5, 5, 10]
    fakes = torch.tensor([[0.0, 0.0], [0.1, 0.0], [6.0, 8.0], [9.0, 9.0]])
    # Reals are 5 from their nearest, so that 0.5 is the limit: two of the fakes are closer to each other.
    assert float(duplicates(distances(x), distances(fakes))) == 0.5


def test_the_auc_of_many_scores_is_that_of_all_pairs() -> None:
    real, fake = torch.randint(0, 50, (600,)).float(), torch.randint(-10, 40, (600,)).float()
    pairs = (real[:, None] > fake).double() + (real[:, None] == fake).double() / 2
    assert float(auc(real, fake)) == pytest.approx(float(pairs.mean()), abs=1e-6)
    assert math.isnan(float(auc(real, torch.cat([fake, torch.tensor([math.nan])]))))
