"""`gancore verify-resume`: passes where resume is exact, and finds what keeps a state to itself."""

from pathlib import Path
from typing import Any

import pytest

Gancore = Any

FORGETFUL = """
import gancore, torch

class Hooks:
    @gancore.hookimpl
    def gancore_regularizers(self):
        return [gancore.Component("forgetful", "forgetful:Forgetful", "Noise that grows with its own count of calls.")]

plugin = Hooks()
gancore_regularizers = plugin.gancore_regularizers

@gancore.component
class Forgetful:
    on: gancore.On = gancore.option("discriminator", "Network.")
    calls: dict = gancore.state(dict)
    def discriminator_inputs(self, x, context):
        self.calls["n"] = self.calls.get("n", 0) + 1
        return x + 0.001 * self.calls["n"]
"""


def test_an_exact_resume_is_told_with_its_hash(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    said = gancore("verify-resume", tiny, "--steps", "11")
    assert said.code == 0
    assert said.out.startswith("tiny: resumed equals uninterrupted, 11 steps: ")
    assert "tensors (SHA-256 " in said.out
    assert "6 lines of stats.jsonl" in said.out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"], "it leaves nothing behind"


def test_a_component_that_keeps_its_state_to_itself_is_found(gancore: Gancore, tiny: Path, install: Any) -> None:
    install("gancore-forgetful", forgetful=FORGETFUL)
    said = gancore("verify-resume", tiny, "--steps", "10", "--set", 'regularizer=[{name="forgetful"}]')
    assert said.code == 1
    assert said.out.startswith("tiny: the resumed run is another one. What differs:\n")
    assert "\n  discriminator/network/" in said.out
    assert "needs state_dict and load_state_dict" in said.out


@pytest.mark.parametrize("steps", ["1", "0", "-4", "x"])
def test_a_run_of_one_step_cannot_be_cut(steps: str, gancore: Gancore, tiny: Path) -> None:
    assert gancore("verify-resume", tiny, "--steps", steps).code == 2
