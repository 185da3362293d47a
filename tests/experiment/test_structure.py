"""Options are read strictly: each type takes its own values and no others."""

import enum
import math
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore import component, option, required
from gancore.components import ge, gt, lt
from gancore.experiment.path import Path
from gancore.experiment.structure import Complaint, structure

HUGE = int("f" * 5000, 16)


@component
class Strict:
    """One option of each type."""

    flag: bool = option(False, "A boolean.")
    count: int = option(1, "An integer.")
    share: float = option(0.5, "A float.")
    text: str = option("", "A string.")
    choice: Literal["adam", "sgd", 3] = option("adam", "A choice.")
    only: Literal["discriminator"] = option("discriminator", "No choice.")
    many: tuple[int, ...] = option((), "Integers.")
    pair: tuple[float, str] = option((0.0, ""), "A float and a string.")
    nested: tuple[tuple[int, ...], ...] = option((), "Rows.")
    listed: list[int] = option((), "Integers.")
    maybe: int | None = option(None, "An integer or nothing.")
    either: int | str = option(0, "An integer or a string.")
    rows: tuple[int, ...] | None = option(None, "Integers or nothing.")
    table: dict[str, float] = option(attrs.Factory(dict), "Numbers by name.")
    anything: dict = option(attrs.Factory(dict), "A table.")  # type: ignore[type-arg]


def read(name: str, value: Any) -> Any:
    options, complaints = structure(Strict, {name: value})
    assert complaints == []
    assert list(options) == [name]
    return options[name]


def refuse(name: str, value: Any, cls: type = Strict) -> tuple[Path, str]:
    _, complaints = structure(cls, {name: value})
    ((path, message, at_key),) = complaints
    assert not at_key
    return path, message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flag", True, True),
        ("count", -(2**63), -(2**63)),
        ("share", 0.25, 0.25),
        ("share", 10, 10.0),
        ("text", "ä\n", "ä\n"),
        ("choice", "sgd", "sgd"),
        ("choice", 3, 3),
        ("many", [], ()),
        ("many", [1, 2], (1, 2)),
        ("pair", [1, "x"], (1.0, "x")),
        ("nested", [[1], [2, 3]], ((1,), (2, 3))),
        ("listed", [1, 2], [1, 2]),
        ("maybe", 3, 3),
        ("either", "x", "x"),
        ("either", 3, 3),
        ("rows", [3], (3,)),
        ("table", {"a": 1}, {"a": 1.0}),
        ("anything", {"a": [True]}, {"a": [True]}),
    ],
)
def test_a_value_of_the_type(name: str, value: Any, expected: Any) -> None:
    read_value = read(name, value)
    assert read_value == expected
    assert type(read_value) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flag", 1, "expected true or false, got an integer (1)"),
        ("flag", "true", "expected true or false, got a string ('true')"),
        ("count", True, "expected an integer, got a boolean (true)"),
        ("count", 3.0, "expected an integer, got a float (3.0)"),
        ("count", "3", "expected an integer, got a string ('3')"),
        ("count", [3], "expected an integer, got an array"),
        ("count", 2**63, "does not fit into 64 bits"),
        pytest.param("count", HUGE, "does not fit into 64 bits", id="huge count"),
        ("share", False, "expected a number, got a boolean (false)"),
        ("share", "0.5", "expected a number, got a string ('0.5')"),
        ("share", math.nan, "expected a finite number, got nan"),
        ("share", -math.inf, "expected a finite number, got -inf"),
        ("share", 10**400, "expected a finite number, got a huge one"),
        pytest.param("share", HUGE, "expected a finite number, got a huge one", id="huge share"),
        ("text", 3, "expected a string, got an integer (3)"),
        pytest.param("text", HUGE, "expected a string, got an integer (a huge one)", id="huge text"),
        ("text", {}, "expected a string, got a table"),
        ("choice", "adm", """expected one of "adam", "sgd", 3; got a string ('adm'); did you mean "adam"?"""),
        ("choice", True, 'expected one of "adam", "sgd", 3; got a boolean (true)'),
        ("choice", 3.0, 'expected one of "adam", "sgd", 3; got a float (3.0)'),
        ("choice", ["adam"], 'expected one of "adam", "sgd", 3; got an array'),
        ("only", "generator", """expected "discriminator"; got a string ('generator')"""),
        ("many", 3, "expected an array, got an integer (3)"),
        ("many", "abc", "expected an array, got a string ('abc')"),
        ("pair", [1.0], "expected an array of 2, got one of 1"),
        ("listed", "abc", "expected an array, got a string ('abc')"),
        ("maybe", "3", "expected an integer, got a string ('3')"),
        ("either", 3.5, "expected an integer or a string, got a float (3.5)"),
        ("table", [], "expected a table, got an array"),
        ("anything", "abc", "expected a table, got a string ('abc')"),
    ],
)
def test_nothing_is_made_into_something_else(name: str, value: Any, message: str) -> None:
    assert refuse(name, value) == ((name,), message)


@pytest.mark.parametrize(
    ("name", "value", "path", "message"),
    [
        ("many", [1, 2.5], ("many", 1), "expected an integer, got a float (2.5)"),
        ("pair", [1.0, 2.0], ("pair", 1), "expected a string, got a float (2.0)"),
        ("nested", [[1], [2, "3"]], ("nested", 1, 1), "expected an integer, got a string ('3')"),
        ("listed", [True], ("listed", 0), "expected an integer, got a boolean (true)"),
        ("rows", ["x"], ("rows", 0), "expected an integer, got a string ('x')"),
        ("table", {"a": 1, "b": "x"}, ("table", "b"), "expected a number, got a string ('x')"),
    ],
)
def test_the_path_leads_into_the_value(name: str, value: Any, path: Path, message: str) -> None:
    assert refuse(name, value) == (path, message)


def test_a_long_value_is_shortened() -> None:
    assert refuse("count", "x" * 100) == (("count",), f"expected an integer, got a string ('{'x' * 36}...)")


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_through_unchanged(value: float) -> None:
    assert math.copysign(1, read("share", value)) == math.copysign(1, value)
    assert read("share", value) == value


SCALARS = st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([field.name for field in attrs.fields(Strict)]), VALUES)
def test_whatever_the_value_it_is_read_or_complained_about(name: str, value: Any) -> None:
    options, complaints = structure(Strict, {name: value})
    assert (name in options) != bool(complaints)


# ------------------------------------------------------------------------------------------ the table as a whole


def _not_above_high(instance: "Ranged", attribute: Any, value: float) -> None:
    if value > instance.high:
        raise ValueError(f"must not be above high ({instance.high})")


@component
class Ranged:
    """Options with validators, one of them required, one that looks at it."""

    high: float = required("Upper end.", gt(0))
    low: float = option(0.0, "Lower end.", ge(0), _not_above_high)
    word: str = option("", "A word.", attrs.validators.matches_re("[a-z]*"))
    rate: float = option(0.1, "A rate.", gt(0), lt(1))


def complaints_of(**table: Any) -> list[Complaint]:
    return structure(Ranged, table)[1]


def test_a_required_option_is_asked_for_with_its_meaning() -> None:
    assert complaints_of() == [((), "missing option 'high': Upper end.", True)]


def test_an_unknown_option_suggests_the_closest_or_lists_all() -> None:
    assert complaints_of(high=1, loww=1) == [(("loww",), 'unknown option; did you mean "low"?', True)]
    assert complaints_of(high=1, qqq=1) == [(("qqq",), "unknown option; known: high, low, word, rate", True)]


def test_every_validator_of_an_option_counts() -> None:
    assert complaints_of(high=1, rate=0) == [(("rate",), "must be > 0: 0.0", False)]
    assert complaints_of(high=1, rate=1) == [(("rate",), "must be < 1: 1.0", False)]


def test_a_validators_message_is_not_a_tuple() -> None:
    ((path, message, _),) = complaints_of(high=1, word="A")
    assert path == ("word",)
    assert message == "must match regex '[a-z]*' ('A' doesn't)"


def test_a_validator_may_look_at_the_other_options() -> None:
    assert complaints_of(low=2, high=1) == [(("low",), "must not be above high (1.0)", False)]
    assert complaints_of(low=1, high=2) == []


def test_a_validator_that_looks_at_what_is_missing_adds_no_complaint() -> None:
    assert complaints_of(low=1) == [((), "missing option 'high': Upper end.", True)]


def test_an_error_in_a_validator_is_no_mistake_of_the_user() -> None:
    def broken(instance: Any, attribute: Any, value: int) -> None:
        raise AttributeError("nonsense")

    @component
    class Broken:
        """Its validator is wrong."""

        x: int = option(1, "Any.", broken)

    with pytest.raises(AttributeError, match="nonsense"):
        structure(Broken, {"x": 2})


class Colour(enum.Enum):
    RED = "red"


@component
class Unusual:
    """Types that options should not have: no traceback, whatever cattrs makes of them."""

    colour: Colour = option(Colour.RED, "An enum.")
    untyped = attrs.field(default=1)
    numbers: set[int] = option(frozenset(), "A set.")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("colour", "blue", "cannot be read as Colour: 'blue' is not a valid Colour"),
        ("untyped", 1, "cannot be read as what its plugin wants: Unsupported type: <class 'object'>. Register a "
         "structure hook for it."),
        ("numbers", ["x"], "cannot be read as set: While structuring set[int] (1 sub-exception)"),
    ],
)  # fmt: skip
def test_a_type_that_options_should_not_have_is_a_complaint(name: str, value: Any, message: str) -> None:
    assert structure(Unusual, {name: value})[1] == [((name,), message, False)]


def test_all_mistakes_at_once() -> None:
    assert complaints_of(low="0", rate=2, wrd="x") == [
        (("low",), "expected a number, got a string ('0')", False),
        (("wrd",), 'unknown option; did you mean "word"?', True),
        ((), "missing option 'high': Upper end.", True),
        (("rate",), "must be < 1: 2.0", False),
    ]


def test_what_is_not_given_is_left_to_its_default() -> None:
    assert structure(Ranged, {"high": 2}) == ({"high": 2.0}, [])
