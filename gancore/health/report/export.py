"""A figure as a file, or as a part of a page."""

import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")


def demand_matplotlib(what: str) -> None:
    """Say what to install where it is missing.

    Raises:
        UserError: it is.
    """
    if find_spec("matplotlib") is None:
        raise UserError(
            f"{what} draws with matplotlib, which is not installed: python -m pip install 'gancore[report]'"
        )


def demand_drawable(file: Path) -> None:
    """Raise UserError for a kind of picture that we do not draw."""
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"{file}: expected a name that ends in {' or '.join(FORMATS)}")


def save(figure: "Figure", file: Path) -> None:
    """Write a figure as SVG or PNG, whole or not at all."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(_bytes(figure, file.suffix.removeprefix(".").lower()))
    temporary.replace(file)


def inline(figure: "Figure", name: str) -> str:
    """The figure as an `<svg>` element to stand in a page.

    Args:
        name: prefix of the ids in it: those of several figures must not be confused.
    """
    text = _bytes(figure, "svg").decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", text, flags=re.DOTALL
    )
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    opening, _, rest = text.partition(">")
    opening = re.sub(r' (?:width|height)="[^"]*"', "", opening)  # it is as wide as the page
    return f'{opening} role="img">{rest}'


def _bytes(figure: "Figure", kind: str) -> bytes:
    stream = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(stream, format=kind, metadata=metadata)
    return stream.getvalue()
