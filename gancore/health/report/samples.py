"""The run's own pictures of its samples, at a few times."""

import base64
import re
from pathlib import Path

from attrs import frozen

from gancore.health.report.few import thinned

TIMES = 4
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = 4 << 20  # bytes of a picture

CAPTION = (
    "Samples of the averaged (EMA) generator, from the same latents at every time. Pictures that become alike are a "
    "mode collapse; pictures that stay noise while AUC is near 1 are a generator that hears nothing."
)


@frozen
class Sample:
    step: int
    data: str  # the PNG, base64


def samples(folder: Path) -> list[Sample]:
    """Evenly spread over those there are, the first and the last among them."""
    files = sorted(
        (int(found[1]), file)
        for file in (folder / "samples").glob("step-*.png")
        if (found := re.fullmatch(r"step-(\d{1,15})\.png", file.name))
    )
    chosen = []
    for i in thinned(len(files), TIMES):
        step, file = files[i]
        try:
            content = file.read_bytes() if file.stat().st_size <= LARGEST else b""
        except OSError:
            continue
        if content.startswith(PNG):
            chosen.append(Sample(step, base64.b64encode(content).decode("ascii")))
    return chosen
