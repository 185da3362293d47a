"""Sick and healthy experiments, what is found in each, and whether the remedy helps.

python -m tests.health.confusion --seeds 3        prints the table
"""

import argparse
import contextlib
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

import gancore
from gancore.contracts import Change
from gancore.experiment.fix import apply

FOLDER = Path(__file__).parents[2] / "examples" / "gradient-health"

# What is wrong with each sick experiment: the code, and the factor, network or layer that has to be named.
EXPECTED = {
    "saturated-minimax": ("loss-saturated", "factor A (loss)"),
    "sigmoid-depth": ("vanishing-depth", "discriminator layers.0"),
    "unbounded-critic": ("critic-steep", ""),
    "lr-too-high": ("lr-too-high", "generator"),
    "lr-too-low": ("lr-too-low", "generator"),
    "collapsed": ("mode-collapse", "generator"),
    "dead-relu": ("dead-units", "discriminator layers"),
    "drowned-by-penalty": ("penalty-imbalance", "discriminator"),
    "overfitted": ("d-overfits", "discriminator"),
}
HEALTHY = sorted(file.stem for file in (FOLDER / "healthy").glob("*.toml"))


@frozen
class Found:
    code: str
    where: str
    severity: str
    because: str
    changes: tuple[Change, ...]


def diagnose(text: str, seed: int) -> list[Found]:
    """Train, and return the findings in order of importance, without notes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "experiment.toml"
        file.write_text('callback = [{name = "health"}]\n' + text)
        run = gancore.load(file, [f"train.seed={seed}", "train.device=cpu"]).assemble(out=Path(folder) / "run")
        run.train()
        entries = json.loads((Path(folder) / "run" / "health.json").read_text())["findings"]
    entries = [entry for entry in entries if entry["severity"] != "note"]
    entries.sort(key=lambda entry: (entry["severity"] != "fatal", entry["first_step"]))
    return [
        Found(
            entry["code"], entry["where"], entry["severity"], entry["because"],
            tuple(Change(tuple(change["path"]), change["value"]) for change in entry["changes"]),
        )
        for entry in entries
    ]  # fmt: skip


def remedies(found: Iterable[Found]) -> list[Change]:
    """Of what follows from nothing else."""
    return [change for finding in found if not finding.because for change in finding.changes]


def text_of(name: str) -> str:
    (file,) = FOLDER.glob(f"*/{name}.toml")
    return file.read_text("utf-8")


def mended(name: str, found: Iterable[Found]) -> str:
    return apply(text_of(name), remedies(found))


def table(seeds: int) -> Iterator[str]:
    for name in (*EXPECTED, *HEALTHY):
        for seed in range(seeds):
            found = diagnose(text_of(name), seed)
            roots = [f"{finding.code} ({finding.where})" for finding in found if not finding.because]
            others = sorted({finding.code for finding in found if finding.because})
            if name in EXPECTED:
                code, where = EXPECTED[name]
                right = any(f.code == code and f.where.startswith(where) and not f.because for f in found)
                verdict = "found" if right else "MISSED"
            else:
                verdict = "FALSE ALARM" if found else "healthy"
            follow = f"; follows: {', '.join(others)}" if others else ""
            yield f"{name:22} seed {seed}  {verdict:11}  {', '.join(roots)}{follow}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    logging.disable(logging.WARNING)  # notices that no callback shows
    for line in table(parser.parse_args().seeds):
        with contextlib.suppress(BrokenPipeError):
            print(line, flush=True)
