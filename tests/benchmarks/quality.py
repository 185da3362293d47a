"""Whether faster is as good: the same examples trained in fp32, in bf16 and compiled, and judged.

    python -m tests.benchmarks.quality [--seeds 3] [--only digits] [--data DIR] [-o results.json]

Prints for every run the Frechet distance on the features of a small classifier (lower is better) and the share of
samples that it is sure of, then medians. MNIST is looked for in `--data`, or downloaded.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import gancore
from tests.benchmarks.written import header, write
from tests.digits_judge import Judge

EXAMPLES = Path(__file__).parents[2] / "examples"
WAYS = {
    "fp32": (),
    "bf16": ("train.precision=bf16",),
    "compiled": ("train.compile=phase",),
    "bf16, compiled": ("train.precision=bf16", "train.compile=phase"),
}
JUDGED = 12_000  # reals that the judge learns from: enough for 98 % and a few seconds


def runs(name: str, seeds: int, data: str | None) -> Iterator[tuple[str, int, Any]]:
    given = [f"data.root={data}"] if data and name == "mnist-dcgan" else []
    for seed in range(seeds):
        for way, settings in WAYS.items():
            overrides = ["train.device=cpu", f"train.seed={seed}", *given, *settings]
            yield way, seed, gancore.load(EXAMPLES / f"{name}.toml", overrides)


def judge_of(loaded: Any) -> Judge:
    samples = loaded.experiment.data.create().load()
    values, labels = (
        torch.stack([sample[i] for sample, _ in zip(samples, range(JUDGED), strict=False)]) for i in (0, 1)
    )
    return Judge(values, labels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="examples whose name contains this")
    parser.add_argument("--data", help="a folder with MNIST")
    parser.add_argument("-o", "--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = {}
    for name in ("digits", "mnist-dcgan"):
        if options.only not in name:
            continue
        judge = None
        found: dict[str, list[float]] = {}
        for way, seed, loaded in runs(name, options.seeds, options.data):
            judge = judge or judge_of(loaded)
            run = loaded.assemble()
            run.advance(run.steps)
            verdict = judge.verdict(run.sample(*run.latents(5000, seed=1)))
            found.setdefault(way, []).append(verdict.frechet)
            print(
                f"{name:12} {way:15} seed {seed}: Frechet {verdict.frechet:6.2f}, sure {verdict.confident:.1%}",
                flush=True,
            )
        for way, distances in found.items():
            print(f"{name:12} {way:15} median of {len(distances)}: {statistics.median(distances):6.2f}", flush=True)
        results[name] = found
    write(options.out, {**header("cpu"), "frechet_by_seed": results})
