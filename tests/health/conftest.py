"""Run folders: one that was trained, and one that a stranger has written."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

EVIL = "<script>alert('$x_{')</script>\x1b[31m\u202e"

Write = Callable[..., Path]


@frozen
class Made:
    """Pieces of run folders, for tests that write their own."""

    probe: Callable[..., dict[str, Any]]
    finding: Callable[..., dict[str, Any]]
    evil: str


@pytest.fixture(scope="session")
def sick(sick_run: Path) -> Path:
    """A finished run whose gradients vanish. Not to be changed."""
    return sick_run


def probe(step: int, *, numbers: dict[str, Any] | None = None, layers: dict[str, Any] | None = None) -> dict[str, Any]:
    """A line of health.jsonl, of a healthy WGAN-GP unless it is said otherwise."""
    healthy = {"A": 1.0, "B": 1.0, "C": 2.0, "gradient/generator": 2.0, "auc": 0.8, "diversity": 0.9}
    healthy |= {"rho/generator": 0.5, "rho/discriminator": 0.1, "update/generator": 1e-3, "update/discriminator": 1e-3}
    usual = {role: {"layers.0": [0.5, 0.0], "layers.2": [1.0, 0.0]} for role in ("discriminator", "generator")}
    return {
        "step": step,
        "numbers": healthy | (numbers or {}),
        "layers": usual if layers is None else layers,
        "holding": [],
    }


def finding(code: str, where: str = "generator", **more: Any) -> dict[str, Any]:
    """An entry of health.json."""
    usual = {
        "code": code, "severity": "warn", "where": where, "evidence": {"x": 1.0}, "threshold": "x < 2",
        "cause": f"Cause of {code}.", "remedy": f"Remedy of {code}.", "changes": [], "link": "https://example.org/",
        "step": 1000, "because": "", "first_step": 600, "last_step": 1000,
    }  # fmt: skip
    return usual | more


@pytest.fixture
def made() -> Made:
    return Made(probe, finding, EVIL)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(lines, findings, text)`: make a run folder by hand. Lines and findings may be tables or raw text."""

    def write(
        lines: list[Any] | None = None,
        findings: list[Any] | str = (),  # type: ignore[assignment]
        text: str = "[train]\nsteps = 1000\n[health]\nevery = 100\nwarm_up = 500\n",
    ) -> Path:
        folder = tmp_path / "run"
        folder.mkdir()
        lines = [probe(step) for step in range(100, 1100, 100)] if lines is None else lines
        written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (folder / "health.jsonl").write_text("".join(f"{line}\n" for line in written))
        content = findings if isinstance(findings, str) else json.dumps({"findings": list(findings)})
        (folder / "health.json").write_text(content)
        (folder / "experiment.toml").write_text(text)
        return folder

    return write


@pytest.fixture
def evil(write: Write) -> Path:
    """A run folder of somebody who means no good, or of a training that went very wrong."""
    layers = {
        "generator": {EVIL: [1e308, 1e99], "dead": [0.0, 1.0], "nan": [math.nan, math.inf], "small": [5e-324, -1.0]},
        "discriminator": {"layers.0": [1.0, 0.0]},
    }
    numbers = {
        "A": math.nan,
        "B": math.inf,
        "C": -1.0,
        "auc": 10**400,
        "diversity": -1e300,
        "rho/generator": 0.0,
        EVIL: 1,
    }
    lines = [probe(step, numbers=numbers, layers=layers) for step in (100, 200)]
    lines.insert(1, '{"step": 150, "numbers": {"A"')
    lines += ["[" * 100_000, "null", '{"step": 1e3}', json.dumps(probe(-5))]
    found = [
        finding(
            EVIL, EVIL, evidence={EVIL: math.nan, "huge": 1e400}, threshold=EVIL, cause=EVIL, remedy=EVIL,
            changes=[{"path": ["model", EVIL], "value": EVIL}], link="javascript:alert(1)", because=EVIL,
        ),
        finding("quote", 'generator "><img src=x onerror=alert(1)>', link='https://x.org/"><script>'),
        finding("a", "x", because="b y"),
        finding("b", "y", because="a x"),
        finding("own", "cause", because="own cause"),
        finding("grave", severity="catastrophic"),
        {"code": 1},
        "nothing",
    ]  # fmt: skip
    text = f"name = {json.dumps(EVIL)}\n[train]\nsteps = 200\ndevice = {json.dumps(EVIL)}\n[loss]\nname = 'a/<b>'\n"
    folder = write(lines, found, text)
    (folder / "samples").mkdir()
    (folder / "samples" / "step-00000001.png").write_text("<svg onload=alert(1)>")
    return folder
