"""Whatever stands in a file: reading it succeeds, or raises ExperimentError with places. Nothing else."""

import string
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gancore.errors import ExperimentError
from gancore.experiment import read
from gancore.registry import Registry

TEXT = """\
name = "fuzz" # ä
[train]
steps = 3
batch_size = 8
ema = 1e3
[data]
name = "ring"
radius = 2
[model]
name = "mlp"
hidden = [16, 32] # widths
conditional = true
[loss]
name = "wgan-gp"
weight = 10.0
[optimizer]
name = "adam"
lr = 2e-4
[optimizer.generator]
lr = 1e-4
[optimizer.discriminator]
name = "sgd"
momentum = 0.9
nesterov = true
[[regularizer]]
name = "diffaugment"
policy = ["color", 'cutout']
[[regularizer]]
name = "gradient-clipping"
limit = 1
[[metric]]
name = "mode-coverage"
[[callback]]
name = "stats"
[checkpoint]
every = 100
[log]
every = 10
[plugins]
gancore = "0.1.0"
"""
LINES = TEXT.splitlines()
CHARACTERS = st.sampled_from(string.printable + "äΩ数𝛾\0\ufeff\u2028")
PIECES = st.sampled_from(
    ["[[", "]]", "{", "}", '"""', "'''", "nan", "-inf", "1e999", "0x" + "f" * 30, "9" * 30, "true", "2024-01-01",
     "a.b.c", "= 3\n", "[train]\n", "[[regularizer]]\n", "[regularizer.x]\n", "name = ", '"adam"', "\\u0000", "# "]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The text above after a few deletions, insertions and swaps of characters, pieces and lines."""
    text = TEXT
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["delete", "insert", "piece", "replace", "swap", "drop line", "copy line"]))
        i = draw(st.integers(0, max(0, len(text) - 1)))
        if kind == "delete":
            text = text[:i] + text[i + draw(st.integers(1, 9)) :]
        elif kind == "insert":
            text = text[:i] + draw(CHARACTERS) + text[i:]
        elif kind == "piece":
            text = text[:i] + draw(PIECES) + text[i:]
        elif kind == "replace":
            text = text[:i] + draw(PIECES | CHARACTERS) + text[i + 1 :]
        else:
            lines = text.split("\n")
            a, b = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if kind == "swap":
                lines[a], lines[b] = lines[b], lines[a]
            elif kind == "drop line":
                del lines[a]
            else:
                lines.insert(b, lines[a])
            text = "\n".join(lines)
    return text


def read_or_refuse(data: bytes, registry: Registry, file: Path) -> None:
    file.write_bytes(data)
    try:
        read(file, registry)
    except ExperimentError as error:
        lines = data.decode(errors="replace").split("\n")
        for problem in error.problems:
            assert problem.message
            assert 1 <= problem.line <= len(lines) + 1
            assert 1 <= problem.column <= max(map(len, lines)) + 1


def test_the_text_is_an_experiment(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "fuzz.toml"
    file.write_text(TEXT, "utf-8")
    assert read(file, registry).name == "fuzz"


SHARED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SHARED
@given(text=mutated())
def test_mutated_texts(text: str, registry: Registry, tmp_path: Path) -> None:
    read_or_refuse(text.encode(), registry, tmp_path / "fuzz.toml")


@SHARED
@given(data=st.binary(max_size=60))
def test_bytes_of_any_kind(data: bytes, registry: Registry, tmp_path: Path) -> None:
    read_or_refuse(data, registry, tmp_path / "fuzz.toml")


@SHARED
@given(
    key=st.sampled_from(["train", "train.steps", "data", "model.hidden", "regularizer", "regularizer[0]", "metric.0.x",
                         "optimizer.generator", "callback", "name", "x", "plugins.a", "log.every", "checkpoint"])
    | st.text(max_size=8),
    value=st.sampled_from(["3", "-1", "x", "[]", "{}", "[1]", "[{}]", "nan", "true", '{name = "sgd"}', "''", "1.5"])
    | st.text(max_size=8),
)  # fmt: skip
def test_overrides_of_any_kind(key: str, value: str, registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "fuzz.toml"
    file.write_text(TEXT, "utf-8")
    with suppress(ExperimentError):
        read(file, registry, [f"{key}={value}"])
