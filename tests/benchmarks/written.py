"""What a file of results says: when and on what, and numbers to four digits, as no clock is better."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks import hardware


def header(device: str) -> dict[str, Any]:
    """What numbers mean nothing without."""
    return {"date": date.today().isoformat(), "torch": torch.__version__, "hardware": hardware.words(device)}


def write(path: Path | None, results: dict[str, Any]) -> None:
    """As JSON; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_rounded(results), indent=2) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
