"""The default example, judged: are these digits?"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import gancore
from gancore.registry import Registry

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def judging() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_judge", Path(__file__).with_name("digits_judge.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def judge(judging: ModuleType) -> Any:
    digits = Registry.discover().find("dataset", "digits").load()()
    return judging.Judge(*digits.load().tensors)


def test_frechet_distance_of_shifted_gaussians_is_the_squared_shift(judging: ModuleType) -> None:
    x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    assert judging.frechet_distance(x, x + torch.tensor([3.0, 0.0, 4.0])) == pytest.approx(25.0, abs=1e-3)


def test_frechet_distance_of_scaled_gaussians(judging: ModuleType) -> None:
    """tr(A + 4A - 2 * 2A) = tr A."""
    x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    x = x - x.mean(0)
    assert judging.frechet_distance(x, 2 * x) == pytest.approx(float(x.T.cov().trace()), rel=1e-4)


@pytest.mark.slow
def test_the_judge_knows_digits_and_noise(judge: Any) -> None:
    assert judge.accuracy > 0.95
    noise = judge.verdict(torch.rand(2000, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert noise.frechet > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_example_makes_digits(judge: Any, seed: int) -> None:
    run = gancore.load(EXAMPLES / "digits.toml", ["train.device=cpu", f"train.seed={seed}"]).assemble()
    run.advance(run.steps)
    verdict = judge.verdict(run.sample(*run.latents(2000, seed=1)))
    print(verdict)
    assert verdict.score >= 7.5
    assert verdict.confident >= 0.65
    assert verdict.rarest >= 0.04
    assert verdict.frechet <= 8.0
