"""Whatever stands in a file: reading it succeeds, or raises an error for users, short and with places. Nothing else.

`python -m tests.experiment.mutations` asks the same of a hundred thousand files.
"""

import importlib.util
import os
import signal
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gancore.errors import ExperimentError
from gancore.experiment import Experiment, read
from gancore.experiment.write import write
from gancore.registry import Registry

Read = Callable[..., Experiment]


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", Path(__file__).with_name("mutations.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module  # attrs looks there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mutator(mutations: ModuleType, registry: Registry) -> Any:
    return mutations.Mutator(registry)


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """A reader that hangs fails the test, rather than stopping all of them."""

    def hang(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def fuzz(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


SEEDS = st.integers(0, 2**32 - 1)


@fuzz(300)
@given(seed=SEEDS)
@example(seed=1004051)  # `--set regular\xa0izer[0]=...` came back as it was
def test_mutated_examples(seed: int, mutations: ModuleType, mutator: Any, registry: Registry, tmp_path: Path) -> None:
    mutations.judge(mutator.mutant(seed), tmp_path / "fuzz.toml", registry)


@pytest.mark.slow
@fuzz(4_000)
@given(seed=SEEDS)
def test_many_mutated_examples(
    seed: int, mutations: ModuleType, mutator: Any, registry: Registry, tmp_path: Path
) -> None:
    mutations.judge(mutator.mutant(seed), tmp_path / "fuzz.toml", registry)


@fuzz(200)
@given(data=st.binary(max_size=60))
def test_bytes_of_any_kind(data: bytes, mutations: ModuleType, registry: Registry, tmp_path: Path) -> None:
    mutations.judge(mutations.Mutant(data, ()), tmp_path / "fuzz.toml", registry)


@fuzz(200)
@given(
    key=st.sampled_from(["train", "train.steps", "data", "model.hidden", "regularizer", "regularizer[0]", "metric.0.x",
                         "optimizer.generator", "callback", "name", "x", "plugins.a", "log.every", "checkpoint"])
    | st.text(max_size=8),
    value=st.sampled_from(["3", "-1", "x", "[]", "{}", "[1]", "[{}]", "nan", "true", '{name = "sgd"}', "''", "1.5"])
    | st.text(max_size=8),
)  # fmt: skip
def test_overrides_of_any_kind(key: str, value: str, mutations: ModuleType, registry: Registry, tmp_path: Path) -> None:
    mutant = mutations.Mutant(mutations.EVERYTHING.encode(), (f"{key}={value}",))
    mutations.judge(mutant, tmp_path / "fuzz.toml", registry)


def test_the_text_that_mutants_come_from_is_an_experiment(mutations: ModuleType, read_text: Read) -> None:
    assert read_text(mutations.EVERYTHING).name == "fuzz"


# ---------------------------------------------------------------------------------------------- large files

VALID = """\
[train]
steps = 3
[data]
name = "digits"
[model]
name = "mlp"
[loss]
name = "hinge"
[optimizer]
name = "adam"
"""
DOTS = "a." * 100_000 + "a"
LONG = "k" * 100_000
DEEP = "cannot be read: a key of more than 32 parts; no option stands that deep"


def numbered(line: str, count: int) -> str:
    return "".join(f"{line.format(i)}\n" for i in range(count))


def complaint(text: str, registry: Registry, file: Path, *overrides: str) -> str:
    """What is said about a text, without the file's name."""
    file.write_text(text, "utf-8")
    with pytest.raises(ExperimentError) as caught:
        read(file, registry, overrides)
    return str(caught.value).replace(f"{file}:", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(f"{DOTS} = 1", f"1:1: {DEEP}", id="a key"),
        pytest.param(f"x = 1\n[ {DOTS} ]", f"2:3: {DEEP}", id="a header"),
        pytest.param(f"[[{DOTS}]]\n{numbered('k{} = 1', 9000)}", f"1:3: {DEEP}", id="a header above many keys"),
        pytest.param(f"x = {{{DOTS} = 1}}", f"1:6: {DEEP}", id="in braces"),
        pytest.param('"a b" . ' * 32 + "'.' = 1", f"1:1: {DEEP}", id="33 parts, in quotes"),
        pytest.param("x = 1\n" + '"a.' * 9 + DOTS, "2:5: no valid TOML: expected = after the key", id="an open quote"),
        pytest.param("x = 0\n" + "[" * 10_000, "2:3: no valid TOML: expected a key", id="open headers"),
        pytest.param(
            "x = " + "{a = " * 10_000, "1:1: cannot be read: brackets are nested too deeply", id="nested braces"
        ),
        pytest.param(
            "x = " + "[" * 10_000 + "]" * 10_000, "1:1: cannot be read: brackets are nested too deeply", id="brackets"
        ),
        pytest.param(
            "x = " + "9" * 100_000, "1:5: an integer of 100000 digits; at most 64 bits are used", id="100,000 digits"
        ),
        pytest.param(
            f"[{LONG}]\n[{LONG}]",
            f"2:100002: no valid TOML: {'there is a table ' + repr(LONG)[:81]}...{'k' * 89}' already",
            id="a table of a long name twice",
        ),
    ],
)
def test_what_is_too_deep_or_too_long_is_refused_at_once(
    text: str, message: str, registry: Registry, tmp_path: Path
) -> None:
    began = time.monotonic()
    assert complaint(text, registry, tmp_path / "my.toml") == message
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(VALID + '[plugins]\nx = "' + "a." * 99 + '"', id="in text"),
        pytest.param(VALID + "[plugins]\nx = '''\n" + "a." * 99 + "'''", id="in text of several lines"),
        pytest.param(VALID + '[plugins]\nx = """"\\"""' + "a." * 99 + '"""""', id="between many quotes"),
        pytest.param(VALID + "# " + "a." * 99, id="in a comment"),
    ],
)
def test_dots_elsewhere_are_no_key(text: str, read_text: Read) -> None:
    assert read_text(text).name == "my"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        pytest.param(numbered("k{} = 1", 20_000) + VALID, "1:1: k0: unknown table or key; known: ", id="at the top"),
        pytest.param(
            VALID + "[log]\n" + numbered("k{} = 1", 20_000), "12:1: log.k0: unknown option; known: every", id="options"
        ),
        pytest.param(
            VALID + "[plugins]\n" + numbered("k{} = 1", 20_000), "12:6: plugins.k0: expected a version", id="versions"
        ),
        pytest.param(
            VALID + "[[callback]]\n" * 20_000, "11:3: callback[0]: missing name: which callback?", id="components"
        ),
        pytest.param(
            VALID + f"[health]\nignore = [{'7,' * 50_000}]",
            "12:11: health.ignore[0]: expected a string, got an integer (7)",
            id="elements",
        ),
        pytest.param(
            VALID + "[health]\nignore = [" + "'a'," * 50_000 + "]",
            "12:11: health.ignore[0]: no such rule; known: ",
            id="names",
        ),
        pytest.param(
            VALID + numbered("[health.x{}]", 9_000), '11:9: health.x0: no rule "x0" is installed; ', id="rules"
        ),
    ],
)
def test_who_has_made_a_hundred_mistakes_is_told_a_hundred(
    text: str, first: str, registry: Registry, tmp_path: Path
) -> None:
    began = time.monotonic()
    said = complaint(text, registry, tmp_path / "my.toml").split("\n")
    assert time.monotonic() - began < 30
    if len(said) > 1:
        assert said.pop(0) == " has 100 problems or more; these are the first"
        assert len(said) == 100
    assert said[0].startswith(first)


def test_many_small_nested_arrays_do_not_fill_the_memory(registry: Registry, tmp_path: Path) -> None:
    text = VALID + "[plugins]\n" + numbered(f"k{{}} = {'[' * 300}{']' * 300}", 99)
    tracemalloc.start()
    try:
        assert complaint(text, registry, tmp_path / "my.toml").count("expected a version") == 99
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_thousands_of_components_take_no_quadratic_time(read_text: Read) -> None:
    found = read_text(VALID + "[[callback]]\nname = 'stats'\n" * 10_000)
    began = time.monotonic()
    assert len(found.selections) > 10_000
    assert time.monotonic() - began < 1


def test_a_long_array_is_written_in_no_quadratic_time(read_text: Read) -> None:
    found = read_text(VALID.replace('"mlp"', f'"mlp"\nhidden = [{"7, " * 20_000}]'))
    began = time.monotonic()
    assert f"hidden = [{'7, ' * 19_999}7]\n" in write(found)
    assert time.monotonic() - began < 10


def test_a_large_file_is_not_read(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    with file.open("wb") as stream:
        stream.truncate(100 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(ExperimentError) as caught:
            read(file, registry)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert str(caught.value) == f"{file}: is larger than 1 MiB; expected an experiment file"


# ---------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "x = {' (at line 77, column 5)' = 1, ' (at line 77, column 5)' = 2}",
            "1:66: no valid TOML: the key ' (at line 77, column 5)' has a value already",
            id="a key that looks like a place",
        ),
        pytest.param(
            f"x = {{'(at line {'9' * 5000}, column 5)' = 1, '(at line {'9' * 5000}, column 5)' = 2}}",
            f"1:10060: no valid TOML: the key '(at line {'9' * 80}...{'9' * 66}, column 5)' has a value already",
            id="a key that looks like a place far away",
        ),
        pytest.param(
            VALID.replace('"digits"', '"' + "x" * 500_000 + '"'),
            f"4:8: data.name: expected the name of a dataset, got a string ('{'x' * 36}...)",
            id="a long name of a component",
        ),
        pytest.param(
            VALID.replace('"digits"', f"{LONG} = 1\nname = 'digits'").replace("name = k", "k"),
            f"4:1: data.{'k' * 57}...: unknown option; known: ",
            id="a long key",
        ),
        pytest.param(
            VALID.replace('"digits"', '"\\u009b31m\\u202e\\u007f\\u2028"'),
            '4:8: data.name: no dataset "\\x9b31m\\u202e\\x7f\\u2028" is installed; ',
            id="what a terminal obeys",
        ),
        pytest.param(
            VALID.replace("\n", "\r"), "1:8: no valid TOML: expected the end of the line", id="lines of old Macs"
        ),
    ],
)
def test_messages_are_short_and_printable(text: str, message: str, registry: Registry, tmp_path: Path) -> None:
    said = complaint(text, registry, tmp_path / "my.toml")
    assert said.startswith(message)
    assert said.isprintable()
    assert len(said) < 600


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param(
            "train.steps=\x1b[31m\0",
            "--set train.steps=\\x1b[31m\\x00: train.steps: expected an integer, got a string ('\\x1b[31m\\x00')",
            id="what a terminal obeys",
        ),
        pytest.param(
            "train.steps=\udcff",
            "--set train.steps=\\udcff: train.steps: expected an integer, got a string ('\\udcff')",
            id="no UTF-8",
        ),
        pytest.param(
            "train.steps=3\n[x]",
            "--set train.steps=3\\n[x]: train.steps: expected an integer, got a string ('3\\n[x]')",
            id="a second table",
        ),
        pytest.param(
            "met\xa0ric[0].x=1",
            '--set met\\xa0ric[0].x=1: "met\\u00a0ric": is not in the file; write all of it, such as '
            '"met\\u00a0ric"=[{name = "..."}]',
            id="a space that does not break",
        ),
        pytest.param(
            f"{DOTS}=1",
            f"--set {'a.' * 46}....{'a.' * 47}a=1: expected KEY=VALUE, such as train.steps=100",
            id="deeper than any option",
        ),
        pytest.param(
            f"log={{{DOTS}=1}}",
            f"--set log={{{('a.' * 43)}a...{'a.' * 47}a=1}}: log: expected a table: write [log]",
            id="a table deeper than any option",
        ),
        pytest.param(
            f"train.steps={LONG}",
            f"--set train.steps={'k' * 80}...{'k' * 98}: train.steps: expected an integer, got a string "
            f"('{'k' * 36}...)",
            id="long",
        ),
    ],
)
def test_overrides_are_quoted_short_and_printable(
    override: str, message: str, registry: Registry, tmp_path: Path
) -> None:
    assert complaint(VALID, registry, tmp_path / "my.toml", override) == message


# ---------------------------------------------------------------------------------------------- what is no file


@pytest.mark.skipif(os.name == "nt", reason="no such files")
def test_a_pipe_does_not_block(registry: Registry, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ExperimentError) as caught:
        read(tmp_path / "pipe.toml", registry)
    assert str(caught.value) == f"{tmp_path / 'pipe.toml'}: is a pipe or a device; expected an experiment file"


@pytest.mark.skipif(os.name == "nt", reason="no such files")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_read(device: str, registry: Registry) -> None:
    with pytest.raises(ExperimentError) as caught:
        read(device, registry)
    assert str(caught.value) == f"{device}: is a pipe or a device; expected an experiment file"


@pytest.mark.skipif(os.name == "nt", reason="no such files")
def test_a_link_to_itself(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    with pytest.raises(ExperimentError) as caught:
        read(tmp_path / "loop.toml", registry)
    assert str(caught.value) == f"{tmp_path / 'loop.toml'}: cannot be read: Too many levels of symbolic links"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "..", ".", "a/b", "x/", "a\\u0000b", "a\\u001bb", "\\u202e", "x" * 300]
)
def test_a_name_that_is_no_folders(name: str, registry: Registry, tmp_path: Path) -> None:
    said = complaint(f'name = "{name}"\n{VALID}', registry, tmp_path / "my.toml")
    assert said.startswith("1:8: name: expected ")
    assert said.isprintable()
