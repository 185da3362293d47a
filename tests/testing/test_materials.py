"""What the kit shows to rules is what the probe measures."""

import re
from pathlib import Path
from typing import Any

from gancore.contracts import ROLES, Facts, Vitals
from gancore.health.doctor import Doctor
from gancore.health.probe import RARELY, Probe
from gancore.health.taps import Aims
from gancore.testing.materials import HEALTHY, healthy_vitals, vitals_of
from gancore.testing.small_run import small_run
from gancore.training.checkup import Checkup


class Keeps:
    def __init__(self) -> None:
        self.seen: list[Vitals] = []

    def probed(self, run: Any, vitals: Vitals, findings: Any) -> None:
        self.seen.append(vitals)


def test_healthy_vitals_have_every_number_of_the_contract() -> None:
    entries = re.findall(r"^ {12}(`.*`)  ", Vitals.__doc__ or "", re.MULTILINE)
    documented = [name for entry in entries for name in re.findall(r"`([^`]+)`", entry)]
    assert set(HEALTHY) == {name.replace("<role>", role) for name in documented for role in ROLES}


def test_a_real_probe_measures_nothing_else(tmp_path: Path) -> None:
    callback = Keeps()
    run = small_run({"keeps": callback}, tmp_path, steps=RARELY)
    held_out = (run.reals(8), None)
    probe, doctor = Probe(Aims(lipschitz=True, held_out=held_out)), Doctor({}, Facts({}, RARELY), warm_up=0)
    run.checkup = Checkup(probe, doctor, every=1)
    run.train()
    vitals = callback.seen[-1]
    # The small game has no penalty.
    assert set(vitals.numbers) == {name for name in HEALTHY if not name.startswith("penalty/")}
    layer = vitals.layers["generator"]["layer"]
    assert set(layer) == set(healthy_vitals(1).layers["generator"]["layers.0"]) == {"gradient", "dead"}


def test_a_share_of_dead_units_stays_one() -> None:
    shares = [vitals_of(value, 1).layers["generator"]["layers.0"]["dead"] for value in (-1.0, 0.5, 1e9, float("nan"))]
    assert shares == [0.0, 0.5, 1.0, 0.0]
