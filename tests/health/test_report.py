"""The report: one page that stands on its own, and figures that hide nothing."""

import base64
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from gancore.contracts import ROLES, Finding
from gancore.health.prescription import diff
from gancore.health.record import read
from gancore.health.report import export, flow, heat, limits, samples
from gancore.health.report.few import every, shortened, thinned
from gancore.health.report.logscale import Log, power_of_ten
from gancore.health.report.page import page
from gancore.health.report.style import styled

VOID = {"meta", "img", "br", "hr", "link", "input"}
# Attributes through which a page fetches something.
FETCHES = {"src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href", "ping", "manifest"}


@define
class Parsed(HTMLParser):
    """The page as a browser would see it."""

    tags: list[tuple[str, dict[str, str | None]]] = field(factory=list)
    open: list[str] = field(factory=list)
    texts: list[tuple[str, str]] = field(factory=list)
    unbalanced: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self, *tags: str) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if not tags or tag in tags).split())


def parsed(html: str) -> Parsed:
    parser = Parsed()
    parser.feed(html)
    parser.close()
    assert (parser.unbalanced, parser.open) == ([], [])
    return parser


@pytest.fixture(scope="module")
def html(sick: Path) -> str:
    return page(read(sick))


def fetched(html: str) -> Iterator[str]:
    """Every address that a browser would load without being asked."""
    found = parsed(html)
    for tag, attributes in found.tags:
        for name, value in attributes.items():
            if name in FETCHES or (name == "href" and tag != "a"):
                yield value or ""
            if name == "style":
                yield from re.findall(r"url\((.*?)\)", value or "")
    for tag, text in found.texts:
        if tag == "style":
            yield from re.findall(r"url\((.*?)\)|@import\s+(\S+)", text)  # type: ignore[misc]


def test_the_page_fetches_nothing_and_runs_nothing(html: str) -> None:
    outside = [address for address in fetched(html) if not address.startswith(("data:image/png;base64,", "#"))]
    assert outside == []
    found = parsed(html)
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    (policy,) = [a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_page_tells_what_was_trained_what_was_found_and_what_to_change(html: str) -> None:
    found = parsed(html)
    text = found.text()
    assert found.text("h1") == "sick"
    for words in ("nonsaturating", "60; 6 probes", "16, n_critic 1, seed 0", "cpu, fp32", "Fatal", "Method"):
        assert words in text
    assert "vanishing-depth" in found.text("code")
    assert '+activation = "leaky-relu"' in text
    assert '-activation = "sigmoid"' in text


def test_seven_figures_each_with_a_caption_and_no_id_twice(html: str) -> None:
    found = parsed(html)
    tags = [tag for tag, _ in found.tags]
    assert (tags.count("figure"), tags.count("figcaption"), tags.count("svg")) == (7, 7, 6)
    assert [f"Figure {n}." in found.text("b") for n in range(1, 8)] == [True] * 7
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids)) > 100
    used = {
        found[1:] for _, a in found.tags for n, found in a.items() if n.endswith("href") and (found or "")[:1] == "#"
    }
    used |= set(re.findall(r"url\(#(.*?)\)", html))
    assert used <= set(ids)


def test_figures_have_words_that_can_be_searched(html: str) -> None:
    words = parsed(html).text("text")
    for word in ("layers.16", "back-propagation", "generator G", "vanishing-depth G", "AUC", "10⁻⁵"):
        assert word in words


def test_samples_of_the_run_are_in_the_page(html: str, sick: Path) -> None:
    images = [a for tag, a in parsed(html).tags if tag == "img"]
    assert [image["alt"] for image in images] == ["samples at step 30", "samples at step 60"]
    content = base64.b64decode((images[1]["src"] or "").partition(",")[2])
    assert content == (sick / "samples" / "step-00000060.png").read_bytes()


def test_the_same_run_gives_the_same_page(html: str, sick: Path) -> None:
    day = re.compile(r"\d{4}-\d\d-\d\d, gancore")
    assert day.sub("", page(read(sick))) == day.sub("", html)


def test_findings_about_the_experiment_itself_are_told_before_the_numbers(sick: Path) -> None:
    lint = Finding("sigmoid-on-logits", "fatal", "discriminator", {}, "logits", "D ends <here>.", "Remove it.")
    text = parsed(page(read(sick), [lint])).text()
    assert text.index("Before the first step") < text.index("D ends <here>.") < text.index("The last probe")


def test_a_strangers_words_stay_words(evil: Path) -> None:
    html = page(read(evil))
    found = parsed(html)
    assert not {"script", "img", "b-"} & {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert [a["href"] for tag, a in found.tags if tag == "a"] == ['https://x.org/"><script>']
    assert not set(html) & {"\x1b", "\x00", "\u202e"}
    assert "<script>alert" in found.text("h1")
    assert "svg onload" not in html  # a picture that is none
    assert "Not readable, and left out: health.jsonl:2" in found.text("p")


def test_absurd_numbers_make_a_page(evil: Path) -> None:
    text = parsed(page(read(evil))).text()
    assert "not a finite number" in text
    assert "A black square is a signal that is no finite number." in text
    assert "Black is no finite number." in text
    assert "it is dead" in text
    assert text.count("Figure ") == 6


@pytest.mark.parametrize(
    "missing", [{}, {"layers": {}}, {"numbers": {}}, {"layers": {"generator": {"only": [0.0, 1.0]}}}]
)
def test_a_run_with_a_single_line_of_little_makes_a_page(missing: Any, write: Any, made: Any) -> None:
    assert "svg" in {tag for tag, _ in parsed(page(read(write([made.probe(100) | missing])))).tags}


def test_a_deep_network_with_long_names_makes_a_page(write: Any, made: Any) -> None:
    names = [f"synthesis.block{i}.residual_branch.convolution{k}" for i in range(40) for k in (0, 1)]
    layers = {role: {name: [10 ** (-i / 20), 0.0] for i, name in enumerate(names)} for role in ROLES}
    html = page(read(write([made.probe(step, layers=layers) for step in range(100, 3000, 100)])))
    assert "s.block0.r.convolution0" in parsed(html).text("text")


# --------------------------------------------------------------------------------------------------- the pieces


def test_an_axis_has_a_place_for_zero_and_one_for_what_is_no_number() -> None:
    scale = Log.around([1e-3, 1.0, 0.0, math.nan])
    assert (scale.low, scale.high) == (-3, 0)
    places = [scale.at(value) for value in (0.0, 1e-3, 1.0, math.inf)]
    assert places == sorted(places)
    low, high = scale.limits
    assert low < places[0] < scale.low
    assert scale.high < places[-1] < high
    assert scale.at(math.nan) == scale.at(math.inf) == scale.at(-1.0)
    assert scale.ticks(6)[1] == ["0", "10⁻³", "10⁻²", "10⁻¹", "1", "NaN, ∞"]


def test_an_axis_of_ordinary_numbers_has_neither() -> None:
    scale = Log.around([0.02, 3.0])
    assert scale.ticks(6)[1] == ["10⁻²", "10⁻¹", "1", "10"]
    assert Log.around([0.5], least=4).ticks(6)[1] == ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"]
    assert Log.around([]).ticks(6)[1] == ["10⁻¹", "1"]
    assert [power_of_ten(e) for e in (-12, 0, 2, 3)] == ["10⁻¹²", "1", "100", "10³"]


def test_a_dead_layer_is_drawn_and_not_dropped(write: Any, made: Any) -> None:
    layers = {"generator": {"a": [0.0, 1.0], "b": [1e-3, 0.0], "c": [1.0, 0.0]}}
    with styled(text=True):
        figure, caption = flow.flow(read(write([made.probe(100, layers=layers)])))
    (ax,) = figure.axes
    signal = next(line for line in ax.get_lines() if line.get_marker() == "o")
    assert list(signal.get_ydata()) == [0, 1, 2]
    assert all(math.isfinite(x) for x in signal.get_xdata())  # type: ignore[arg-type, union-attr]
    cross = next(line for line in ax.get_lines() if line.get_marker() == "x")
    assert list(cross.get_ydata()) == [0]
    assert caption.endswith("A cross in the column 0 is a layer that hears exactly nothing: it is dead.")


def test_a_dead_layer_has_a_colour_of_its_own_in_the_heat_map(write: Any, made: Any) -> None:
    layers = {"generator": {"a": [0.0, 1.0], "b": [1e-3, 0.0]}}
    with styled(text=True):
        figure, caption = heat.heat(read(write([made.probe(step, layers=layers) for step in (100, 200)])))
    mesh = figure.axes[0].collections[0]
    colours = mesh.to_rgba(mesh.get_array())
    assert tuple(round(255 * c) for c in colours[0][0][:3]) == (0xD5, 0x5E, 0x00)
    assert caption.endswith("Orange is exactly zero: the layer is dead.")
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == ["exactly 0"]


def test_thresholds_are_those_of_the_run(write: Any) -> None:
    text = "[health]\nignore = ['g-dominates']\n[health.d-dominates]\nauc = 0.9\n[health.mode-collapse]\nwarn = 'x'\n"
    record = read(write(text=text))
    assert limits.limit(record, "d-dominates", "auc") == 0.9
    assert limits.limit(record, "g-dominates", "auc") is None
    assert limits.limit(record, "mode-collapse", "warn") == 0.5
    assert limits.limit(record, "vanishing-depth", "fatal") == 1e-5


def test_samples_are_spread_over_the_run_and_are_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    for step in range(100, 1100, 100):
        (folder / f"step-{step:08d}.png").write_bytes(samples.PNG + bytes([step // 100]))
    (folder / "step-00000700.png").write_text("no picture")
    (folder / "seed-0.png").write_bytes(samples.PNG)
    assert [sample.step for sample in samples.samples(tmp_path)] == [100, 400, 1000]
    assert samples.samples(tmp_path / "nowhere") == []


def test_a_figure_is_saved_as_its_name_says(tmp_path: Path, sick: Path) -> None:
    record = read(sick)
    for name in ("a.svg", "b.png"):
        with styled(text=False):
            export.save(flow.flow_of([record.last], record.layers), tmp_path / name)
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert (tmp_path / "b.png").read_bytes().startswith(samples.PNG)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.png"]


def test_a_remedy_is_shown_as_a_diff_of_the_experiment(sick: Path) -> None:
    record = read(sick)
    (held, *_) = [held for held in record.findings if held.finding.code == "vanishing-depth"]
    lines = diff(record.text, held.finding.changes)
    assert lines[:2] == ["--- experiment.toml", "+++ experiment.toml, mended"]
    assert '-activation = "sigmoid"' in lines
    assert '+activation = "leaky-relu"' in lines


def test_changes_that_do_not_fit_show_no_diff(evil: Path, sick: Path) -> None:
    record = read(evil)
    changes = next(held.finding.changes for held in record.findings if held.finding.changes)
    assert all(line.isprintable() for line in diff(record.text, changes))
    assert diff("no toml", changes) == []
    assert diff(read(sick).text, ()) == []


def test_few_of_many() -> None:
    assert thinned(3, 5) == [0, 1, 2]
    assert thinned(11, 3) == [0, 5, 10]
    assert every(10, 4) == [0, 3, 6, 9]
    assert shortened("layers.0") == "layers.0"
    assert shortened("synthesis.block3.residual_branch.conv0", 26) == "syn.block3.res.conv0"
    assert shortened("synthesis.block3.residual_branch.conv0", 18) == "s.block3.r.conv0"
    assert shortened("x1" * 30, 10) == "x1x1…1x1x1"
