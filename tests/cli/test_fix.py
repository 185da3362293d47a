"""`gancore doctor RUN --fix -o FILE`: the remedies in a copy of the file, or a message and no file."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

Gancore = Any

FILE = """# My first GAN.
[train]
steps = 40
batch_size = 16
device = "cpu"

[health]
every = 10
warm_up = 0

[data]
name = "ring"

[model]
name = "mlp"
hidden = [16, 16, 16, 16, 16, 16]
activation = "sigmoid"  # because of its name

[loss]
name = "nonsaturating"

[optimizer]
name = "adam"
"""


@pytest.fixture
def run(gancore: Gancore, tmp_path: Path) -> Path:
    (tmp_path / "mine.toml").write_text(FILE)
    assert gancore("train", "mine.toml", "--out", "run").code == 0
    return tmp_path / "run"


def test_a_file_of_ones_own_keeps_its_comments(gancore: Gancore, run: Path, tmp_path: Path) -> None:
    said = gancore("doctor", "run", "--fix", "-o", "fixed.toml", "--of", "mine.toml")
    assert (said.code, said.out) == (0, "fixed.toml\n")
    assert "vanishing-depth in " in said.err
    before, after = FILE.splitlines(), (tmp_path / "fixed.toml").read_text().splitlines()
    assert [line for line in after if line not in before] == [
        'activation = "leaky-relu"  # because of its name',
        'init = "he"',
    ]
    assert len([line for line in before if line not in after]) == 1
    assert gancore("check", "fixed.toml").code == 0


def test_without_one_it_is_the_runs_own_file(gancore: Gancore, run: Path, tmp_path: Path) -> None:
    assert gancore("doctor", "run", "--fix", "-o", "fixed.toml").code == 0
    fixed, own = (tomllib.loads(file.read_text()) for file in (tmp_path / "fixed.toml", run / "experiment.toml"))
    assert (fixed["model"]["activation"], fixed["model"]["init"]) == ("leaky-relu", "he")
    assert {**fixed, "model": None} == {**own, "model": None}


def test_what_follows_from_another_finding_is_not_mended(gancore: Gancore, run: Path, tmp_path: Path) -> None:
    (one, *_) = json.loads((run / "health.json").read_text())["findings"]

    def finding(code: str, path: list[str], value: float, because: str = "") -> dict[str, Any]:
        changes = [{"path": path, "value": value}]
        return one | {"code": code, "where": "generator", "severity": "warn", "because": because, "changes": changes}

    root = finding("root", ["train", "batch_size"], 32)
    leaf = finding("leaf", ["train", "steps"], 7, because="root generator")
    (run / "health.json").write_text(json.dumps({"findings": [leaf, root]}))
    said = gancore("doctor", "run", "--fix", "-o", "fixed.toml", "--of", "mine.toml")
    assert (said.code, said.err.splitlines()) == (0, [f"root in generator: {one['remedy']}"])
    assert (tmp_path / "fixed.toml").read_text() == FILE.replace("batch_size = 16", "batch_size = 32")


@pytest.mark.parametrize("words", [("--fix",), ("-o", "fixed.toml"), ("--of", "mine.toml")])
def test_the_options_go_together(gancore: Gancore, run: Path, words: tuple[str, ...]) -> None:
    said = gancore("doctor", "run", *words)
    assert said.code == 2
    assert "--fix and -o go together" in said.err


def test_a_run_without_findings_has_nothing_to_mend(gancore: Gancore, run: Path, tmp_path: Path) -> None:
    (run / "health.json").write_text('{"findings": []}')
    said = gancore("doctor", "run", "--fix", "-o", "fixed.toml")
    assert said.code == 2
    assert "no finding has a remedy that a file can hold" in said.err
    assert not (tmp_path / "fixed.toml").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": ["train", "steps"], "value": "many"}, "the remedies make no experiment"),
        ({"path": ["train", "steps", "x", "y"], "value": 1}, "cannot be mended"),
    ],
)
def test_a_remedy_that_makes_no_experiment_is_not_written(
    gancore: Gancore, run: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """health.json may be somebody else's."""
    findings = json.loads((run / "health.json").read_text())
    findings["findings"][0] |= {"changes": [change], "because": "", "severity": "fatal"}
    findings["findings"] = findings["findings"][:1]
    (run / "health.json").write_text(json.dumps(findings))
    said = gancore("doctor", "run", "--fix", "-o", "fixed.toml")
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
    assert not list(tmp_path.glob("*fixed*"))


def test_a_file_that_is_not_there(gancore: Gancore, run: Path) -> None:
    said = gancore("doctor", "run", "--fix", "-o", "fixed.toml", "--of", "gone.toml")
    assert said.code == 2
    assert "gone.toml: cannot be mended" in said.err
