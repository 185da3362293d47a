"""The scripts of examples/gradient-health reproduce what the papers say.

Each runs once, with `--quick`: smaller settings (named at the tests), for which the same claims hold. What the full
settings gave stands in examples/gradient-health/README.md and in the JSON files beside the pictures.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = {"saturation", "critic_depth", "nielsen", "depth", "dirac"}

slow = pytest.mark.slow
Measure = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """The numbers of a script, run as a user would run it; warnings are errors there too."""
    known: dict[str, dict[str, Any]] = {}

    def measure(name: str) -> dict[str, Any]:
        if name not in known:
            out = tmp_path_factory.mktemp(name)
            script = EXAMPLES / "gradient-health" / f"{name}.py"
            command = [sys.executable, "-W", "error", str(script), "--quick", "-o", str(out)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, timeout=120)
            if "MNIST files are not here" in done.stderr:
                pytest.skip(done.stderr.strip())
            assert done.returncode == 0, done.stderr
            assert (out / f"{name}.png").stat().st_size < 150_000
            known[name] = json.loads((out / f"{name}.json").read_text())
        return known[name]

    return measure


def test_every_script_has_a_picture_its_numbers_and_a_place_in_the_readme() -> None:
    folder = EXAMPLES / "gradient-health"
    assert {file.stem for file in folder.glob("*.py")} == SCRIPTS | {"publish"}
    words = (folder / "README.md").read_text()
    for name in SCRIPTS:
        assert (EXAMPLES / "pictures" / f"{name}.png").stat().st_size < 150_000
        assert json.loads((EXAMPLES / "pictures" / f"{name}.json").read_text())["quick"] is False
        assert f"{name}.py" in words
        assert f"../pictures/{name}.png" in words


# ------------------------------------- saturation: digits instead of MNIST, 800 updates of D instead of 4,000


@slow
def test_a_discriminator_trained_alone_kills_the_minimax_gradient_only(measure: Measure) -> None:
    curves = measure("saturation")["curves"]
    assert curves["minimax"]["end / start"]["gradient/generator"] < 1e-3
    assert curves["nonsaturating"]["end / start"]["gradient/generator"] > 10


@slow
def test_it_is_the_loss_that_dies_not_the_discriminator_nor_the_depth(measure: Measure) -> None:
    curves = measure("saturation")["curves"]
    change = curves["minimax"]["end / start"]
    assert change["A"] < 1e-4
    assert change["B"] > 10
    assert 0.3 < change["C"] < 3
    assert "fatal: loss-saturated" in curves["minimax"]["doctor"]
    assert not any("loss-saturated" in said for said in curves["nonsaturating"]["doctor"])


@slow
def test_r1_keeps_both_gradients_alive(measure: Measure) -> None:
    curves = measure("saturation")["curves"]
    for loss in ("minimax", "nonsaturating"):
        change = curves[f"{loss} + r1"]["end / start"]
        assert 0.1 < change["gradient/generator"] < 100
        assert change["B"] < curves[loss]["end / start"]["B"] / 3


# ----------------- critic_depth: widths 32 and 128 instead of up to 512, 80 updates instead of 300, batches of 64


@slow
@pytest.mark.parametrize("width", ["32", "128"])
@pytest.mark.parametrize("limit", ["c = 0.001", "c = 0.01"])
def test_weight_clipping_shrinks_the_signal_by_the_law(measure: Measure, limit: str, width: str) -> None:
    numbers = measure("critic_depth")
    found, law = numbers["measured"][limit][width], numbers["law"][limit][width]
    assert found["first"]["slope"] == pytest.approx(law, abs=0.1)
    assert found["trained"]["slope"] == pytest.approx(law, abs=0.15)
    assert "fatal: vanishing-depth" in " ".join(found["doctor"])


@slow
def test_the_narrowest_clipping_leaves_a_dead_critic(measure: Measure) -> None:
    measured = measure("critic_depth")["measured"]
    assert measured["c = 0.001"]["128"]["dead"] == list(range(1, 13))
    assert measured["gradient penalty"]["128"]["dead"] == []


@slow
def test_the_widest_clipping_explodes_once_the_weights_agree(measure: Measure) -> None:
    found = measure("critic_depth")["measured"]["c = 0.1"]["128"]
    assert found["first"]["slope"] < 0
    assert 0.3 < found["trained"]["slope"] < math.log10(0.1 * 128)
    assert "exploding" in " ".join(found["doctor"])


@slow
@pytest.mark.parametrize("width", ["32", "128"])
def test_under_the_gradient_penalty_the_signal_is_the_same_at_all_layers(measure: Measure, width: str) -> None:
    found = measure("critic_depth")["measured"]["gradient penalty"][width]
    assert found["trained"]["slope"] == pytest.approx(0, abs=0.1)
    assert found["doctor"] == []


# ------------------------------------------------------------------------------------ nielsen: the full settings


@slow
def test_gradients_of_sigmoid_networks_are_nielsens(measure: Measure) -> None:
    numbers = measure("nielsen")
    for depth, published in numbers["published"].items():
        assert numbers["median of 20"][depth] == pytest.approx(published, rel=0.4)
        for number, draws in zip(published, zip(*numbers["draws"][depth], strict=True), strict=True):
            assert min(draws) <= number <= max(draws)


# ----------------------------------------------------------------------------- depth: width 128 instead of 512


def within(relation: str, factor: float, law: float) -> bool:
    return {"=": abs(factor / law - 1) < 0.05, "<=": factor < 1.02 * law, ">=": factor > 0.98 * law}[relation]


@slow
@pytest.mark.parametrize("variant", ["plain", "batch norm", "residual"])
def test_every_layer_multiplies_the_signal_by_the_known_factor(measure: Measure, variant: str) -> None:
    found = measure("depth")["found"][variant]
    assert len(found) == 9
    off = {n: e["factor"] for n, e in found.items() if not within(e["relation"], e["factor"], e["law"])}
    assert not off


@slow
@pytest.mark.parametrize(
    ("case", "factor"),
    [
        ("sigmoid default", 0.144),
        ("tanh default", 0.577),
        ("relu default", 0.408),
        ("relu xavier", 0.707),
        ("relu he", 1.0),
    ],
)
def test_the_factors_without_norm_and_residuals(measure: Measure, case: str, factor: float) -> None:
    assert measure("depth")["found"]["plain"][case]["factor"] == pytest.approx(factor, rel=0.05)


@slow
def test_batch_norm_makes_gradients_grow_by_yangs_factor(measure: Measure) -> None:
    found = measure("depth")["found"]["batch norm"]
    for init in ("default", "xavier", "he"):
        assert found[f"relu {init}"]["factor"] == pytest.approx(math.sqrt(math.pi / (math.pi - 1)), rel=0.03)


@slow
def test_the_doctor_finds_the_depth_at_fault(measure: Measure) -> None:
    found = measure("depth")["found"]
    assert "fatal: vanishing-depth" in found["plain"]["sigmoid default"]["doctor"]["10"]
    assert found["plain"]["relu he"]["doctor"]["50"] == []
    assert "exploding" in " ".join(found["residual"]["relu he"]["doctor"]["50"])


# ------------------------------------------------------------------------------- dirac: paths of 75 steps, not 500


@slow
def test_the_engines_own_phases_have_the_eigenvalues_of_the_closed_forms(measure: Measure) -> None:
    errors = {name: case["error"] for name, case in measure("dirac")["cases"].items() if "error" in case}
    assert len(errors) == 12
    assert max(errors.values()) < 1e-6


@slow
def test_the_linear_dirac_gan_goes_where_its_map_takes_it(measure: Measure) -> None:
    """Simultaneous steps h of the Wasserstein loss lead outwards by sqrt(1 + h^2) each; others do not."""
    numbers = measure("dirac")
    ends = {name: case["distance at the end"] for name, case in numbers["cases"].items()}
    grown = math.sqrt(2) * (1 + numbers["step"] ** 2) ** (numbers["steps"] / 2)
    assert ends["wasserstein"]["simultaneous"] == pytest.approx(grown, rel=1e-3)
    assert 1 < ends["wasserstein"]["alternating"] < 2
    assert ends["wasserstein + r1 0.3"]["alternating"] < 0.2
    assert ends["nonsaturating + r1 1"]["simultaneous"] < 1e-2
