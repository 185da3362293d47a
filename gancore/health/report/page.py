"""The report: one HTML file, readable offline, fit for a paper's appendix.

Nothing in it is fetched and nothing runs: figures are SVG in the page, samples are data, and a policy in its head
forbids the rest. All words of the run folder are escaped: it may be somebody else's.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gancore.contracts import Finding
from gancore.health.record import Record
from gancore.health.report import samples
from gancore.health.report.escaped import say
from gancore.health.report.export import inline
from gancore.health.report.findings import before_the_start, findings
from gancore.health.report.head import banner, facts, numbers_table
from gancore.health.report.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHOD = (
    "Every {every} steps one step is measured where its gradients pass by anyway, before they are clipped. The norm "
    "of the generator's gradient is the product of three factors, ‖∂L/∂θ‖ = A·B·C: the slope of the loss at the "
    "discriminator's scores, A = mean N|∂L/∂s|; the slope of the discriminator at the fakes, B = mean ‖∂s/∂x‖; and "
    "what the generator's own layers make of it, C. A finding is believed once it was seen in consecutive probes "
    "after the warm-up of {warm_up:,} steps."
)


def page(record: Record, lint: Sequence[Finding] = ()) -> str:
    """The whole page. Takes a second or two.

    Args:
        lint: findings about the experiment itself.
    """
    name = str(record.setting("name") or record.folder.name)
    body = "\n".join(
        (
            f"<header><p class=kicker>gancore · gradient health</p><h1>{say(name)}</h1>{facts(record)}</header>",
            banner(record),
            *findings(record),
            *before_the_start(lint),
            numbers_table(record),
            *_figures(record),
            _closing(record),
        )
    )
    style = files("gancore.health.report").joinpath("page.css").read_text("utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{say(name)}: gradient health</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _figures(record: Record) -> Iterator[str]:
    """Those that the record has numbers for."""
    names = record.measured.numbers.keys() | record.probes[0].numbers.keys()
    wanted = (
        ("flow", bool(record.layers)),
        ("factors", bool({"A", "gradient/generator"} & names)),
        ("heat", bool(record.layers)),
        ("balance", bool({"auc", "diversity"} & names)),
        ("depth", any(name.startswith(("rho/", "update/")) for name in names)),
        ("dead", bool(record.layers)),
    )
    made = 0
    for name, there in wanted:
        if not there:
            continue
        made += 1
        make: Callable[[Record], tuple[Figure, str]] = getattr(import_module(f"gancore.health.report.{name}"), name)
        if made == 1:
            yield "<h2>Figures</h2>"
        with styled(text=True):
            figure, caption = make(record)
            drawn = inline(figure, f"figure-{made}")
        yield _figure(made, drawn, caption)
    if pictures := samples.samples(record.folder):
        yield _figure(made + 1, _contact_sheet(pictures), samples.CAPTION)


def _figure(place: int, content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption><b>Figure {place}.</b> {escape(caption)}</figcaption></figure>"


def _contact_sheet(pictures: list[samples.Sample]) -> str:
    cells = "".join(
        f'<div><img src="data:image/png;base64,{picture.data}" alt="samples at step {picture.step}">'
        f"<span>step {picture.step:,}</span></div>"
        for picture in pictures
    )
    return f"<div class=samples>{cells}</div>"


def _closing(record: Record) -> str:
    every: Any = record.setting("health", "every")
    method = METHOD.format(every=say(every) if isinstance(every, int) else "few", warm_up=record.warm_up)
    lines = "\n".join(escape("".join(c if c.isprintable() else "�" for c in line)) for line in record.text.splitlines())
    return (
        f"<footer><h2>Method</h2><p>{method}</p>"
        f"<details><summary>The experiment, with every option</summary><pre>{lines}</pre></details></footer>"
    )
