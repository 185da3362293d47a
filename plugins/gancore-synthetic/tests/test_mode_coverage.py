"""Mode coverage: which fakes count, for which mode, and what the three numbers are."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore import ComponentError
from gancore_synthetic.grid import Grid
from gancore_synthetic.mode_coverage import ModeCoverage
from gancore_synthetic.ring import Ring

NO_REALS = torch.empty(0, 2)


def evaluate(points, **options):
    return ModeCoverage(**options).evaluate(NO_REALS, torch.tensor(points))


def test_one_fake_on_each_mode_is_perfect():
    centres = [[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)]
    assert evaluate(centres) == {"modes": 8.0, "high-quality": 1.0, "kl": pytest.approx(0.0, abs=1e-12)}


def test_everything_in_one_mode_has_the_largest_kl():
    assert evaluate([[1.0, 0.0]] * 5) == {"modes": 1.0, "high-quality": 1.0, "kl": pytest.approx(math.log(8))}


def test_kl_of_uneven_shares():
    # Shares 3/4 and 1/4 of 4 modes: 3/4 log 3 + 1/4 log 1 = 0.8240.
    numbers = evaluate([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], modes=4)
    assert numbers == {"modes": 2.0, "high-quality": 1.0, "kl": pytest.approx(0.8239592165, abs=1e-9)}


def test_high_quality_ends_at_three_sigma():
    assert evaluate([[1.0299, 0.0], [1.0301, 0.0]])["high-quality"] == 0.5
    assert evaluate([[4.149, 4.0], [4.151, 4.0]], mixture="grid")["high-quality"] == 0.5


def test_low_quality_fakes_do_not_enter_the_shares():
    numbers = evaluate([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.0], [0.9, 0.0]], modes=2)
    assert numbers == {"modes": 2.0, "high-quality": 0.5, "kl": pytest.approx(0.0, abs=1e-12)}


def test_sigma_of_its_own():
    assert evaluate([[1.2, 0.0]], sigma=0.1)["high-quality"] == 1.0
    assert evaluate([[1.2, 0.0]])["high-quality"] == 0.0


def test_geometry_of_the_ring_is_an_option():
    assert evaluate([[2.0, 0.0], [-1.0, math.sqrt(3)], [-1.0, -math.sqrt(3)]], modes=3, radius=2.0)["modes"] == 3.0


def test_geometry_of_the_grid_is_an_option():
    corners = [[-1.5, -1.5], [1.5, -1.5], [-1.5, 1.5], [1.5, 1.5]]
    assert evaluate(corners, mixture="grid", side=2, spacing=3.0)["modes"] == 4.0


def test_no_high_quality_fake_at_all_is_the_worst_finite_value():
    assert evaluate([[9.0, 9.0], [0.0, 0.0]]) == {
        "modes": 0.0,
        "high-quality": 0.0,
        "kl": pytest.approx(math.log(8)),
    }


def test_fakes_that_are_not_numbers_count_as_low_quality():
    numbers = evaluate([[math.nan, 0.0], [math.inf, 0.0], [1.0, 0.0], [1.0, math.nan]])
    assert (numbers["modes"], numbers["high-quality"]) == (1.0, 0.25)


@pytest.mark.parametrize(("mixture", "data", "modes"), [("ring", Ring, 8), ("grid", Grid, 25)])
def test_draw_from_the_data_set_itself(mixture, data, modes):
    values, _ = data(samples=2500, seed=1).load().tensors
    numbers = ModeCoverage(mixture=mixture).evaluate(NO_REALS, values)
    assert numbers["modes"] == modes
    # Within 3 sigma in two dimensions: 1 - exp(-9/2) = 0.98889, standard error 0.0021.
    assert numbers["high-quality"] == pytest.approx(0.98889, abs=0.01)
    # 2 n KL is about chi-square with K - 1 degrees of freedom.
    assert 0 < numbers["kl"] < 2.5 * (modes - 1) / 5000


def test_images_are_refused_with_a_word_what_to_do():
    with pytest.raises(ComponentError, match=r"not \(1, 8, 8\): use it with .*'ring' or 'grid'"):
        ModeCoverage().evaluate(torch.zeros(4, 1, 8, 8), torch.zeros(4, 1, 8, 8))


def test_defaults_are_the_papers():
    metric = ModeCoverage()
    assert (metric.mixture, metric.samples, metric.every) == ("ring", 2500, 1000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"modes": 0},
        {"radius": 0.0},
        {"side": 0},
        {"spacing": 0.0},
        {"sigma": 0.0},
        {"every": 0},
        {"samples": 0},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ModeCoverage(**wrong)


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(0, 9), min_size=8, max_size=8).filter(any))
def test_numbers_of_any_counts(counts):
    centres = [[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)]
    numbers = evaluate([centre for centre, count in zip(centres, counts, strict=True) for _ in range(count)])
    shares = [count / sum(counts) for count in counts]
    assert numbers["modes"] == sum(count > 0 for count in counts)
    assert numbers["high-quality"] == 1.0
    assert numbers["kl"] == pytest.approx(sum(p * math.log(8 * p) for p in shares if p), abs=1e-12)
    assert 0 <= numbers["kl"] <= math.log(8) + 1e-12


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(12)))
def test_the_order_of_the_fakes_does_not_matter(order):
    fakes = Ring(samples=12, sigma=0.02, seed=5).load().tensors[0]
    assert ModeCoverage().evaluate(NO_REALS, fakes[order]) == ModeCoverage().evaluate(NO_REALS, fakes)
