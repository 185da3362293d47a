"""Threads beside other work: milliseconds a step with one thread and with all, spinning and sleeping, on a machine that
does nothing else and on one of whose cores something else runs.

    python -m tests.benchmarks.threads [-o results.json]

Each cell is a process of its own, as OpenMP reads its policy when torch is loaded. `auto` is what gancore chooses.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.written import header, write

MODELS = {"MLP 28x28, batch 64": "mlp", "DCGAN 32x32, batch 64": "dcgan"}
TEXT = """
callback = []
[train]
steps = 1000000
device = "cpu"
compile = "off"
threads = THREADS
[model]
name = "MODEL"
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[health]
probe = false
"""


def measure(model: str, threads: str) -> float:
    """Milliseconds a step, in this process: the median of five readings."""
    import torch
    from torch.utils.data import TensorDataset

    import gancore

    shape = (1, 28, 28) if model == "mlp" else (3, 32, 32)
    settings = ["model.width=32"] if model == "dcgan" else ["model.hidden=[256, 256]"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.toml"
        file.write_text(TEXT.replace("MODEL", model).replace("THREADS", threads))
        images = torch.randint(0, 256, (512, *shape), dtype=torch.uint8)
        run = gancore.load(file, settings).assemble(data=TensorDataset(images))
        run.advance(3)
        steps, found = (4 if model == "dcgan" else 40), []
        for _ in range(5):
            begin = time.perf_counter()
            run.advance(steps)
            found.append((time.perf_counter() - begin) / steps * 1e3)
    return statistics.median(found)


@contextmanager
def busy(core: bool) -> Iterator[None]:
    """Something else that computes all the while."""
    if not core:
        yield
        return
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def cell(model: str, threads: str, policy: str) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-m", "tests.benchmarks.threads", "--cell", model, threads]
    environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(measure(*options.cell))
        raise SystemExit
    cores = str(os.cpu_count())
    cells = {
        "1 thread": ("1", ""),
        f"{cores} threads, spinning (torch's default)": (cores, ""),
        f"{cores} threads, sleeping": (cores, "passive"),
        "gancore train (auto)": ('"auto"', "passive"),
        "gancore in a script (auto)": ('"auto"', ""),
    }
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, model in MODELS.items():
        print(f"{name:45} {'alone':>9} {'beside other work':>18}   (ms a step)")
        for words, (threads, policy) in cells.items():
            found = {}
            for state, other in (("alone", False), ("beside other work", True)):
                with busy(other):
                    found[state] = cell(model, threads, policy)
            results.setdefault(name, {})[words] = found
            print(f"    {words:41} {found['alone']:9.1f} {found['beside other work']:18.1f}", flush=True)
    write(options.out, {**header("cpu"), "milliseconds_per_step": results})
