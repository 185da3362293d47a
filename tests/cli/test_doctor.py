"""`gancore doctor`: what is wrong with a run, and what to change."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

Gancore = Any


@pytest.fixture
def sick(sick_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sick_run, tmp_path / "run"))


@pytest.fixture
def healthy(sick: Path) -> Path:
    """The same folder, had nothing been found."""
    (sick / "health.json").write_text('{"findings": []}')
    return sick


def test_findings_come_with_evidence_remedy_and_the_lines_to_change(gancore: Gancore, sick: Path) -> None:
    said = gancore("doctor", "run")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].startswith("fatal  vanishing-depth in ")
    at = next(
        i for i, line in enumerate(lines) if line.startswith("fatal  vanishing-depth in generator layers.0  since")
    )
    assert lines[at + 1] == "  The gradient dies on its way back through the generator: it does not reach layers.0."
    assert lines[at + 2].startswith("  rho ")
    assert lines[at + 2].endswith("; judged by: a layer / the strongest layer behind it < 1e-05")
    assert '  → Use activation = "leaky-relu", init = "he".  https://arxiv.org/abs/1502.01852' in lines
    assert '    -activation = "sigmoid"' in lines
    assert '    +activation = "leaky-relu"' in lines
    assert lines.count('    +activation = "leaky-relu"') == 1  # the other network's remedy is the same


def test_what_follows_from_a_finding_stands_below_it_without_a_remedy(gancore: Gancore, sick: Path) -> None:
    lines = gancore("doctor", "run").out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.lstrip().startswith("fatal  mode-collapse in generator"))
    indent = len(lines[at]) - len(lines[at].lstrip())
    assert indent in (4, 8)
    assert lines[at + 3].startswith(" " * indent + "  → follows from ")
    assert lines[at + 3].endswith(": mend that first")
    assert lines[at + 4] == ""


def test_a_healthy_run_says_so_with_the_last_numbers_and_what_they_mean(gancore: Gancore, healthy: Path) -> None:
    said = gancore("doctor", "run")
    lines = said.out.splitlines()
    assert lines[:2] == ["healthy  No finding (6 probes, steps 10 to 60).", ""]
    assert [line.split()[0] for line in lines[2:]] == [
        "A", "B", "C", "rho(G)", "rho(D)", "update(G)", "update(D)", "AUC", "diversity",
    ]  # fmt: skip
    assert "slope of the loss at D's scores" in lines[2]


def test_json_is_for_scripts(gancore: Gancore, sick: Path) -> None:
    said = gancore("doctor", "run", "--json")
    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out)
    assert list(told) == ["findings", "lint", "last"]
    assert told["lint"] == []
    assert told["last"]["step"] == 60
    assert {"A", "B", "C", "auc", "diversity", "rho/generator"} <= told["last"].keys()
    found = {f"{finding['code']} {finding['where']}": finding for finding in told["findings"]}
    finding = found["vanishing-depth generator layers.0"]
    assert (finding["severity"], finding["holds"], finding["last_step"]) == ("fatal", True, 60)
    assert finding["changes"][0] == {"path": ["model", "activation"], "value": "leaky-relu"}
    assert told["findings"][0]["code"] == "vanishing-depth"


def test_json_stays_json_whatever_the_numbers_are(gancore: Gancore, sick: Path) -> None:
    line = '{"step": 70, "numbers": {"A": NaN, "B": Infinity, "C": 1e400}, "layers": {}, "holding": []}\n'
    with (sick / "health.jsonl").open("a") as file:
        file.write(line)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    told = json.loads(gancore("doctor", "run", "--json").out, parse_constant=refuse)
    assert told["last"] == {"step": 70, "A": "nan", "B": "inf", "C": "inf"}


def test_damaged_lines_are_left_out_and_said(gancore: Gancore, sick: Path) -> None:
    lines = (sick / "health.jsonl").read_text().splitlines()
    (sick / "health.jsonl").write_text("\n".join([*lines[:2], "{", *lines[2:], lines[0][:40]]))
    said = gancore("doctor", "run")
    assert said.code == 0
    assert said.err == "note: not readable, and left out: health.jsonl:3, health.jsonl:8\n"


def test_the_experiment_itself_is_checked_too_with_places(gancore: Gancore, healthy: Path) -> None:
    file = healthy / "experiment.toml"
    text = file.read_text().replace('discriminator_norm = "none"', 'discriminator_norm = "batch"')
    file.write_text(text + '[[regularizer]]\nname = "r1"\n')
    line = text.splitlines().index('discriminator_norm = "batch"') + 1
    out = gancore("doctor", "run").out
    assert "\nbefore the first step\n" in out
    assert f"  run/experiment.toml:{line}:22: model.discriminator_norm: warn: batch-norm-with-penalty: D mixes " in out
    (lint,) = json.loads(gancore("doctor", "run", "--json").out)["lint"]
    assert (lint["code"], lint["place"]) == ("batch-norm-with-penalty", f"run/experiment.toml:{line}:22")


def test_a_strangers_run_folder_is_told_though_its_plugins_are_not_here(gancore: Gancore, sick: Path) -> None:
    file = sick / "experiment.toml"
    file.write_text(file.read_text().replace("gancore-losses/nonsaturating", "theirs/secret"))
    said = gancore("doctor", "run")
    assert said.code == 0
    assert said.out.startswith("fatal  vanishing-depth")
    assert said.err.startswith("note: the experiment itself cannot be checked here: run/experiment.toml:")


def test_what_a_stranger_wrote_does_not_steer_the_terminal(gancore: Gancore, sick: Path) -> None:
    findings = json.loads((sick / "health.json").read_text())["findings"]
    findings[0] |= {"cause": "\x1b[2J\x1b]0;owned\x07 [bold red]x[/] [/nothing]", "because": ""}
    findings[0]["changes"] = [{"path": ["model", "\x1b[31m"], "value": "\x1b[31m"}]
    (sick / "health.json").write_text(json.dumps({"findings": findings}))
    said = gancore("doctor", "run")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert "\x07" not in said.out
    assert "[bold red]x[/] [/nothing]" in said.out


def test_a_folder_that_is_no_run_folder_is_refused(gancore: Gancore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        said = gancore("doctor", name)
        assert (said.code, said.out) == (2, "")
        assert said.err == f"{name}: is no run folder (it has no experiment.toml)\n"


def test_a_run_that_was_not_probed_is_refused_and_told_why(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    for name, options, why in (
        ("off", ("health.probe=false",), "[health] probe is off in its experiment.toml"),
        ("short", (), "it ended before its first probe, at step 50"),
        ("without", ('callback=[{name="stats"}]',), 'the callback "health" writes it, and this run has none'),
    ):
        sets = [part for option in options for part in ("--set", option)]
        assert gancore("train", tiny, *sets, "--out", name).code == 0
        said = gancore("doctor", name)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(f"{name}: has no health.jsonl: {why}")


def test_the_report_is_a_page_of_its_own(gancore: Gancore, sick: Path, tmp_path: Path) -> None:
    said = gancore("doctor", "run", "--html", "report.html")
    assert said.code == 0
    assert said.out.endswith("\nreport.html\n")
    html = (tmp_path / "report.html").read_text("utf-8")
    HTMLParser().feed(html)
    assert html.startswith("<!DOCTYPE html>")
    assert "http-equiv" in html
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_said(gancore: Gancore, sick: Path) -> None:
    for target, reason in (("run", "cannot be written; it is a folder"), ("no/r.html", "cannot be written")):
        said = gancore("doctor", "run", "--html", target)
        assert (said.code, said.out, said.err) == (2, "", f"{target}: {reason}\n")


def test_without_matplotlib_the_report_says_what_to_install(
    gancore: Gancore, sick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancore.health.report.export.find_spec", lambda name: None)
    said = gancore("doctor", "run", "--html", "report.html")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "--html draws with matplotlib, which is not installed: python -m pip install 'gancore[report]'\n"
    )


def test_findings_are_there_before_torch_is(sick: Path) -> None:
    """They need no torch; checking the experiment does."""
    code = f"""
import sys
from importlib import import_module
from pathlib import Path
from gancore.health.record import read
import_module("gancore.cli.doctor")._show(read(Path({str(sick)!r})))
print({{"torch", "matplotlib", "numpy"}} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fatal  ")
    assert done.stdout.splitlines()[-1] == "set()"
