"""Sick experiments are named and mended, healthy ones left alone. One seed; tests/health/confusion.py has more."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SPEC = importlib.util.spec_from_file_location("confusion", Path(__file__).with_name("confusion.py"))
assert SPEC is not None
assert SPEC.loader is not None
confusion: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(confusion)

pytestmark = pytest.mark.slow

# Those whose remedy makes a healthy run of the same length.
MENDED = {
    "saturated-minimax",
    "sigmoid-depth",
    "lr-too-high",
    "collapsed",
    "dead-relu",
    "drowned-by-penalty",
    "overfitted",
}


@pytest.mark.parametrize("name", confusion.EXPECTED)
def test_a_sick_experiment_is_diagnosed_and_its_remedy_helps(name: str) -> None:
    code, where = confusion.EXPECTED[name]
    found = confusion.diagnose(confusion.text_of(name), 0)
    roots = [finding for finding in found if finding.code == code and finding.where.startswith(where)]
    assert roots, found
    assert not roots[0].because
    if name in MENDED:
        assert confusion.diagnose(confusion.mended(name, found), 0) == []


@pytest.mark.parametrize("name", confusion.HEALTHY)
def test_a_healthy_experiment_raises_no_alarm(name: str) -> None:
    assert confusion.diagnose(confusion.text_of(name), 0) == []
