"""Reading a run folder's health, whoever has written it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gancore.errors import RunFolderError
from gancore.health import entries, record
from gancore.observe import health as written


def test_it_reads_the_files_that_the_callback_writes(sick: Path) -> None:
    assert (record.PROBES, record.FINDINGS) == (written.PROBES, written.FINDINGS)
    found = record.read(sick)
    assert [probe.step for probe in found.probes] == [10, 20, 30, 40, 50, 60]
    assert found.skipped == ()
    assert found.setting("model", "activation") == "sigmoid"
    assert found.layers["generator"] == tuple(f"layers.{i}" for i in range(0, 18, 2))
    assert "vanishing-depth" in {held.finding.code for held in found.findings}
    assert all(held.first <= held.last <= 60 for held in found.findings)


def test_what_is_damaged_is_left_out_and_said(write: Any, made: Any) -> None:
    lines = [made.probe(100), '{"step": 200, "numb', made.probe(300), "[]", made.probe(400, layers={"generator": 3})]
    found = record.read(write(lines, [made.finding("a"), {"code": "b"}]))
    assert [probe.step for probe in found.probes] == [100, 300]
    assert found.skipped == ("health.jsonl:2", "health.jsonl:4", "health.jsonl:5", "health.json: finding 2")


def test_a_step_that_stands_there_twice_counts_once_and_the_later_line_wins(write: Any, made: Any) -> None:
    lines = [made.probe(200), made.probe(100), made.probe(200, numbers={"A": 0.5})]
    found = record.read(write(lines))
    assert [(probe.step, probe.numbers["A"]) for probe in found.probes] == [(100, 1.0), (200, 0.5)]


def test_a_damaged_health_json_leaves_the_probes(write: Any) -> None:
    found = record.read(write(findings='{"findings": [{"co'))
    assert (len(found.probes), found.findings, found.skipped) == (10, (), ("health.json",))


def test_numbers_survive_whatever_they_are(evil: Path) -> None:
    found = record.read(evil)
    assert [probe.step for probe in found.probes] == [100, 200]
    numbers = found.last.numbers
    assert math.isnan(numbers["A"])
    assert (numbers["B"], numbers["auc"], numbers["diversity"]) == (math.inf, math.inf, -1e300)
    assert found.last.layers["generator"]["small"] == {"gradient": 5e-324, "dead": -1.0}


def test_texts_are_one_printable_line_and_links_lead_to_the_web(evil: Path, made: Any) -> None:
    findings = {held.finding.code: held.finding for held in record.read(evil).findings}
    assert findings.keys() == {"<script>alert('$x_{')</script>�[31m�", "quote", "a", "b"}
    assert findings["<script>alert('$x_{')</script>�[31m�"].link == ""
    assert entries.plain("a\n\tb\ud800\x00") == "a b��"
    assert len(entries.plain("x" * 10**6)) == entries.LONGEST


@pytest.mark.parametrize(
    ("text", "findings", "message"),
    [
        ("", False, "it is from a gancore that did not measure gradients yet"),
        ("[health]\nprobe = false", True, "[health] probe is off in its experiment.toml"),
        ("[health]\nevery = 50", False, 'the callback "health" writes it, and this run has none'),
        ("[health]\nevery = 50", True, "it ended before its first probe, at step 50"),
        ("no toml", True, "it is from a gancore that did not measure gradients yet"),
    ],
)
def test_a_run_without_probes_says_why(text: str, findings: bool, message: str, write: Any) -> None:
    folder = write(text=text)
    (folder / "health.jsonl").unlink()
    if not findings:
        (folder / "health.json").unlink()
    with pytest.raises(RunFolderError) as error:
        record.read(folder)
    assert str(error.value).startswith(f"{folder}: has no health.jsonl: ")
    assert message in str(error.value)


def test_a_folder_without_an_experiment_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"is no run folder \(it has no experiment.toml\)"):
        record.read(tmp_path)


def test_a_file_without_a_line_that_can_be_read_is_an_error(write: Any) -> None:
    with pytest.raises(RunFolderError, match=r"health.jsonl: has no line that can be read"):
        record.read(write(["", "x"]))


def test_the_warm_up_is_what_the_run_had(write: Any) -> None:
    assert record.read(write()).warm_up == 500


def test_the_warm_up_of_a_long_run_is_what_the_run_wrote_down(write: Any) -> None:
    folder = write(text="[train]\nepochs = 90\n[health]\nwarm_up = 500\n")
    (folder / "health.json").write_text('{"warm_up": 900, "findings": []}')
    assert record.read(folder).warm_up == 900


def test_a_run_writes_down_its_warm_up(sick: Path) -> None:
    assert json.loads((sick / "health.json").read_text())["warm_up"] == 0


def test_what_healing_has_changed_is_told_in_words(write: Any) -> None:
    folder = write()
    changes = [{"path": ["loss", "name"], "value": "hinge"}, {"path": ["train", "seed"], "value": 1}]
    entry = {"attempt": 1, "finding": "loss-saturated G", "found_at": 1500, "back_to": 1000, "changes": changes}
    (folder / record.HEALED).write_text(json.dumps(entry) + "\n{\n")
    found = record.read(folder)
    assert found.healed == (
        'step 1,500: loss-saturated G; back to step 1,000 with loss.name = "hinge", train.seed = 1',
    )
    assert found.skipped == ("healed.jsonl:2",)


def test_what_holds_at_the_last_probe_is_what_its_line_says(write: Any, made: Any) -> None:
    """Rules are not asked at every probe where probes are close: `last_step` may be of an earlier one."""
    lines = [made.probe(990), made.probe(1000) | {"holding": ["b generator"]}]
    findings = [made.finding(code, last_step=990) for code in ("a", "b")]
    found = record.read(write(lines, findings))
    assert [found.holds(held) for held in found.findings] == [False, True]


def test_the_last_numbers_are_those_before_a_run_became_nan(write: Any, made: Any) -> None:
    found = record.read(
        write([made.probe(100), {"step": 123, "numbers": {}, "layers": {}, "holding": ["nonfinite D"]}])
    )
    assert (found.last.step, found.measured.step) == (123, 100)
