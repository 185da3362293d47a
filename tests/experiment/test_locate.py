"""Every key and value of a TOML file has its place."""

import tomllib
from typing import Any

import hypothesis.strategies as st
import pytest
import tomlkit
from hypothesis import given, settings

from gancore.experiment.locate import Place, locate


def key(text: str, *path: str | int) -> tuple[int, int]:
    place = locate(text).of_key(path)
    return place.line, place.column


def value(text: str, *path: str | int) -> tuple[int, int]:
    place = locate(text).of_value(path)
    return place.line, place.column


def test_a_key_and_its_value() -> None:
    assert key("\n  steps = 3", "steps") == (2, 3)
    assert value("\n  steps = 3", "steps") == (2, 11)


def test_a_tables_key_is_its_name_in_the_header() -> None:
    assert key("[train]\nsteps = 3", "train") == (1, 2)
    assert value("[train]\nsteps = 3", "train") == (1, 2)
    assert key("[ a . b ]", "a", "b") == (1, 7)


def test_each_part_of_a_dotted_key() -> None:
    text = "[train]\na . bc . d = true"
    assert [key(text, *("train", "a", "bc", "d")[:n]) for n in (2, 3, 4)] == [(2, 1), (2, 5), (2, 10)]
    assert value(text, "train", "a", "bc", "d") == (2, 14)


@pytest.mark.parametrize("written", ['"a.b"', "'a.b'", r'"a\u002eb"'])
def test_a_quoted_key_is_known_by_what_it_means(written: str) -> None:
    assert value(f"{written} = 3", "a.b") == (1, len(written) + 4)


def test_an_empty_key() -> None:
    assert key('x = 1\n"" = 2', "") == (2, 1)


def test_inline_tables() -> None:
    text = "a = {b = 1, c.d = {e = 2}}"
    assert value(text, "a") == (1, 5)
    assert key(text, "a", "c", "d", "e") == (1, 20)
    assert value(text, "a", "c", "d", "e") == (1, 24)


def test_a_comment_behind_a_value_is_not_the_value() -> None:
    assert value("a = 3 # three", "a") == (1, 5)
    assert value("a = {b = [1, 2]} # table", "a", "b", 1) == (1, 14)


def test_elements_of_arrays_around_comments() -> None:
    text = "a = [ # one\n  1, # two\n  [2, 3],\n]"
    assert value(text, "a", 0) == (2, 3)
    assert value(text, "a", 1) == (3, 3)
    assert value(text, "a", 1, 1) == (3, 7)


def test_inline_tables_in_an_array() -> None:
    text = "regularizer = [{name = 'r1'}, {name = 'r2'}]"
    assert key(text, "regularizer", 1) == (1, 31)
    assert key(text, "regularizer", 1, "name") == (1, 32)


def test_arrays_of_tables_count_their_elements() -> None:
    text = "[[r]]\na = 1\n\n[[r]]\na = 2"
    assert key(text, "r") == (1, 3)
    assert key(text, "r", 1) == (4, 3)
    assert value(text, "r", 1, "a") == (5, 5)


def test_a_sub_table_belongs_to_the_newest_element() -> None:
    text = "[[r]]\n[r.sub]\nx = 1\n[[r]]\n[r.sub]\nx = 2\n[[r.deep]]\ny = 3\n[[r.deep]]\ny = 4"
    assert value(text, "r", 0, "sub", "x") == (3, 5)
    assert value(text, "r", 1, "sub", "x") == (6, 5)
    assert value(text, "r", 1, "deep", 1, "y") == (10, 5)


def test_columns_count_characters_not_bytes() -> None:
    assert value("a = {'größe 数' = 1, \"𝛾\" = 2}", "a", "𝛾") == (1, 27)
    assert value("a = ['𝛾', 2] # ü", "a", 1) == (1, 11)


def test_windows_lines() -> None:
    assert value('[train]\r\ns = """\r\nx"""\r\nsteps = 3\r\n', "train", "steps") == (4, 9)


def test_what_is_not_there_is_where_the_table_around_it_is() -> None:
    assert key("\n[train]\nsteps = 3", "train", "seed") == (2, 2)
    assert key("\n[train]\nsteps = 3", "data") == (1, 1)


def test_thousands_of_dots_fill_neither_stack_nor_memory() -> None:
    places = locate("a." * 5000 + "a = 1")
    assert places.keys == {}
    assert places.of_key(("a",) * 5001) == Place(1, 1)
    assert len(locate("[" + "a." * 5000 + "a]\nb = 1").keys) < 40


def test_a_long_array_on_one_line_takes_no_quadratic_time() -> None:
    places = locate("'ä' = 1\na = [" + "1," * 50_000 + "]")
    assert places.of_value(("a", 49_999)) == Place(2, 6 + 2 * 49_999)


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
LEAVES = st.integers(-9, 9) | st.booleans() | st.text("aä\"'\\\n", max_size=4)
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
DOCUMENTS = st.dictionaries(KEYS, TREES, max_size=4)


def paths(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(tree, dict):
        inner = [p for k, v in tree.items() for p in paths(v, (*path, k))]
    elif isinstance(tree, list):
        inner = [p for i, v in enumerate(tree) for p in paths(v, (*path, i))]
    else:
        inner = []
    return [path, *inner] if path else inner


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, st.sampled_from(["\n", "\r\n", " # ä\n"]))
def test_every_key_that_tomllib_finds_stands_where_we_say(tables: dict[str, Any], newline: str) -> None:
    text = tomlkit.dumps(tables).replace("\r\n", "\n").replace("\n", newline)
    found = tomllib.loads(text)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    places = locate(text)
    for path in paths(found):
        if not isinstance(path[-1], str):
            continue
        assert path in places.keys
        place = places.of_key(path)
        rest = lines[place.line - 1][place.column - 1 :]
        assert rest.startswith(path[-1]) or tomllib.loads(rest[: _end_of_key(rest)] + " = 0") == {path[-1]: 0}


def _end_of_key(rest: str) -> int:
    """The end of a quoted key at the beginning of `rest`."""
    quote, i = rest[0], 1
    while rest[i] != quote:
        i += 2 if rest[i] == "\\" and quote == '"' else 1
    return i + 1
