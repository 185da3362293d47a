"""What the scripts of this folder share: the command line, where MNIST lies, how pictures and numbers are written."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")  # writes files, needs no screen

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from gancore.contracts import Finding

HERE = Path(__file__).parent
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#8f4f9f"  # told apart by everybody

plt.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "font.size": 9.5,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.5,
    }
)


def arguments(doc: str) -> Namespace:
    """`--quick` and `-o DIR`; on one thread, so that the numbers are the same on any number of cores."""
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller settings, in under 15 seconds of one core")
    parser.add_argument("-o", "--out", type=Path, default=HERE.parent / "pictures", help="folder for the results")
    torch.set_num_threads(1)
    return parser.parse_args()


def mnist() -> Path | None:
    """The folder that holds MNIST/raw: $GANCORE_DATA, or shared/data beside the checkout; None if there is none."""
    for root in (os.environ.get("GANCORE_DATA"), HERE.parents[2] / "shared" / "data"):
        if root and (Path(root) / "MNIST" / "raw").is_dir():
            return Path(root)
    return None


def said(findings: Iterable[Finding]) -> list[str]:
    """The doctor's findings in short, such as `fatal: vanishing-depth`; those that follow from another one last."""
    ordered = sorted(findings, key=lambda finding: bool(finding.because))
    return [f"{f.severity}: {f.code}" + (f" (from {f.because})" if f.because else "") for f in ordered]


def publish(figure: Figure, numbers: dict[str, Any], args: Namespace) -> None:
    """Write `<script>.png` and `<script>.json` into the folder."""
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / Path(sys.argv[0]).with_suffix(".png").name
    drawn = BytesIO()
    figure.savefig(drawn, dpi=130)
    Image.open(drawn).convert("RGB").quantize(96).save(file, optimize=True)  # few colours: a third of the bytes
    record = {"torch": torch.__version__, "device": "cpu", "quick": args.quick} | _rounded(numbers)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
    file.with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{file} and {file.with_suffix('.json').name}")


def _rounded(value: Any) -> Any:
    """Every number to 4 significant digits: the rest is noise, or differs from one machine to the next."""
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
