"""How long a user waits for gancore itself: from torch being imported to the end of the first step.

    python -m tests.benchmarks.startup [--runs 5] [--profile] [-o results.json]

Each run is a fresh process that imports torch and torchvision, reads the clock, and then does what
`gancore train examples/digits.toml` does, until the first step is done. The target is 1.5 s. `--profile` says where the
time goes: modules by the time of their import, and functions.
"""

import argparse
import cProfile
import os
import pstats
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
EXPERIMENT = ROOT / "examples" / "digits.toml"
TARGET = 1.5  # seconds
LINES = 30  # of a profile


def child(out: str, profile: bool) -> NoReturn:
    """The fresh process. Prints the seconds; ends where the first step does."""
    import torch  # noqa: F401
    import torchvision  # noqa: F401

    profiler = cProfile.Profile() if profile else None
    begin = time.perf_counter()
    if profiler:
        profiler.enable()
    print("from here", file=sys.stderr, flush=True)  # for the reader of -X importtime

    from gancore.cli import main
    from gancore.training.run import Run

    advance: Callable[..., None] = Run.advance

    def first_step(run: Run, *_: Any, **__: Any) -> NoReturn:
        advance(run, 1)
        seconds = time.perf_counter() - begin
        if profiler:
            profiler.disable()
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(LINES)
        print(f"\n{seconds}", file=sys.__stdout__, flush=True)
        os._exit(0)

    Run.advance = first_step  # type: ignore[method-assign, assignment]
    sys.argv = ["gancore", "train", str(EXPERIMENT), "--out", out]
    main()
    raise SystemExit("gancore ended without a step")


def once(*, python: tuple[str, ...] = (), profile: bool = False) -> tuple[float, str]:
    """Seconds, and what the process wrote to stderr."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, *python, "-m", "tests.benchmarks.startup", "--child", f"{folder}/run"]
        done = subprocess.run(
            command + ["--profile"] * profile, cwd=ROOT, capture_output=True, text=True, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the process failed:\n{done.stderr}")
    return float(done.stdout.split()[-1]), done.stderr


def imports(written: str) -> list[tuple[str, float]]:
    """From the output of -X importtime, after torch: seconds by package (of gancore: by module), longest first. The
    imports that a module does itself are not its own."""
    found: dict[str, float] = defaultdict(float)
    for microseconds, name in re.findall(
        r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", written.partition("from here")[2]
    ):
        package = name.partition(".")[0]
        found[name if package.startswith("gancore") else package] += int(microseconds) / 1e6
    return sorted(found.items(), key=lambda item: -item[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="at least 2")
    parser.add_argument("--profile", action="store_true", help="also say where the time goes")
    parser.add_argument("-o", "--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.profile)
    seconds = []
    for i in range(options.runs):
        seconds.append(once()[0])
        print(f"run {i + 1} of {options.runs}: {seconds[-1]:.2f} s", flush=True)
    low, middle, high = statistics.quantiles(seconds, n=4)
    print(f"first step after {middle:.2f} s (quartiles {low:.2f} to {high:.2f}); the target is {TARGET} s")
    if options.profile:
        slowest = imports(once(python=("-X", "importtime"))[1])
        print(f"\nimports after torch: {sum(seconds for _, seconds in slowest):.2f} s")
        for name, of_it in slowest[:LINES]:
            print(f"    {1e3 * of_it:7.1f} ms  {name}")
        print(once(profile=True)[1].partition("from here")[2])
    if options.out:
        from tests.benchmarks import hardware, written  # bring torch: not for the processes that are measured

        hardware.one_thread()
        written.write(options.out, written.header("cpu") | {"seconds": [low, middle, high], "target": TARGET})
