"""Changes of an experiment file: what is asked for is changed, and nothing else."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancore.contracts import Change
from gancore.experiment.fix import apply, diff

FILE = """# mine
[train]
steps = 10 # short

[loss]  # the game
name = "lsgan"
fake_target = 0.0

[optimizer]
name = "adam"
lr = 1e-3  # both

# the only one
[[regularizer]]
name = "gancore-penalties/r1"
gamma = 1.0
"""


def changed(*changes: Change) -> dict[str, object]:
    return tomllib.loads(apply(FILE, changes))


def test_nothing_asked_nothing_changed() -> None:
    assert apply(FILE, []) == FILE
    assert diff(FILE, [], "x.toml") == ""


def test_a_value_is_set_where_it_stands_and_comments_stay() -> None:
    assert apply(FILE, [Change(("train", "steps"), 20)]) == FILE.replace("steps = 10 #", "steps = 20 #")
    assert apply(FILE, [Change(("regularizer", "r1", "gamma"), 0.25)]) == FILE.replace("gamma = 1.0", "gamma = 0.25")


def test_another_component_does_not_inherit_the_options_of_the_former() -> None:
    assert changed(Change(("loss", "name"), "relativistic"))["loss"] == {"name": "relativistic"}
    assert changed(Change(("loss", "name"), "lsgan"))["loss"] == {"name": "lsgan", "fake_target": 0.0}


def test_tables_that_are_not_there_are_appended_with_an_empty_line_above() -> None:
    text = apply(
        FILE,
        [
            Change(("regularizer", "r2", "gamma"), 0.1),
            Change(("regularizer", "diffaugment"), {}),
            Change(("optimizer", "discriminator", "lr"), 1e-4),
        ],
    )
    read = tomllib.loads(text)
    assert [table["name"] for table in read["regularizer"]] == ["gancore-penalties/r1", "r2", "diffaugment"]
    assert read["optimizer"] == {"name": "adam", "lr": 1e-3, "discriminator": {"lr": 1e-4}}
    assert text.count("\n\n[") >= 5
    assert text.startswith("# mine\n")


def test_a_first_regularizer_makes_the_array() -> None:
    bare = FILE.partition("# the only one")[0]
    assert tomllib.loads(apply(bare, [Change(("regularizer", "r1", "gamma"), 0.1)]))["regularizer"] == [
        {"name": "r1", "gamma": 0.1}
    ]
    inline = 'regularizer = [{name = "r1"}]\n' + bare
    assert [t["name"] for t in tomllib.loads(apply(inline, [Change(("regularizer", "r2"), {})]))["regularizer"]] == [
        "r1",
        "r2",
    ]


def test_none_takes_away() -> None:
    assert "fake_target" not in changed(Change(("loss", "fake_target")))["loss"]
    assert changed(Change(("regularizer", "r1"))).get("regularizer", []) == []
    for nothing in (("regularizer", "r9"), ("loss", "nothing"), ("nowhere", "x")):
        assert apply(FILE, [Change(nothing)]) == FILE


def test_the_first_of_two_changes_of_one_place_counts() -> None:
    assert changed(Change(("train", "steps"), 1), Change(("train", "steps"), 2))["train"] == {"steps": 1}


def test_two_of_a_kind_are_told_apart_by_their_number() -> None:
    text = FILE + '\n[[regularizer]]\nname = "other"\n\n[[regularizer]]\nname = "r1"\ngamma = 2.0\n'
    second = apply(text, [Change(("regularizer", "r1-2", "gamma"), 5.0)])
    assert second == text.replace("gamma = 2.0", "gamma = 5.0")
    assert apply(text, [Change(("regularizer", "r1", "gamma"), 5.0)]) == text.replace("gamma = 1.0", "gamma = 5.0")


def test_a_value_is_no_table() -> None:
    with pytest.raises(ValueError, match=r"train\.steps\.x: steps is no table"):
        apply(FILE, [Change(("train", "steps", "x"), 1)])


def test_the_diff_is_one_that_people_know() -> None:
    assert diff(FILE, [Change(("train", "steps"), 20)], "x.toml").splitlines()[:2] == [
        "--- x.toml",
        "+++ x.toml, mended",
    ]


KEYS = st.sampled_from(["steps", "lr", "gamma", "new"])
VALUES = st.one_of(st.integers(-100, 100), st.floats(1e-6, 1e6), st.text('ab"\\\n#=]é', max_size=5), st.booleans())
PATHS = st.one_of(
    st.tuples(st.sampled_from(["train", "loss", "extra"]), KEYS),
    st.tuples(st.just("optimizer"), st.sampled_from(["generator", "discriminator"]), KEYS),
    st.tuples(st.just("regularizer"), st.sampled_from(["r1", "r2", "autoclip"]), KEYS),
)


@given(st.dictionaries(PATHS, VALUES, max_size=6))
def test_what_was_asked_for_stands_there_afterwards_and_the_rest_as_before(
    wanted: dict[tuple[str, ...], object],
) -> None:
    text = apply(FILE, [Change(path, value) for path, value in wanted.items()])
    read = tomllib.loads(text)

    def value_at(tables: dict[str, object], path: tuple[str, ...]) -> object:
        table, *rest = path
        if table == "regularizer":
            (at,) = [t for t in tables["regularizer"] if t["name"].rpartition("/")[2] == rest[0]]  # type: ignore[attr-defined]
            return at[rest[1]]
        for part in (table, *rest):
            tables = tables[part]  # type: ignore[assignment]
        return tables

    for path, value in wanted.items():
        assert value_at(read, path) == value
    for path, value in {("loss", "name"): "lsgan", ("optimizer", "lr"): 1e-3}.items():
        assert value_at(read, path) == value
    assert apply(text, [Change(path, value) for path, value in wanted.items()]) == text
