"""Every hook is documented and used, and the reference page of them is current."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from gancore import contracts, hookspecs
from gancore.registry import HOOK_OF, Registry
from gancore.scaffold.reference import reference

PAGE = Path(__file__).parents[1] / "plugins" / "HOOKS.md"

HOOKS = [name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("gancore_")]


def test_there_is_a_hook_for_each_kind() -> None:
    assert sorted(HOOK_OF.values()) == sorted(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_what_it_is_for_which_table_selects_it_and_which_contract_it_has(hook: str) -> None:
    doc = inspect.getdoc(getattr(hookspecs, hook)) or ""
    assert doc.startswith("Offer ")
    assert re.search(r"Selected by `\[+[\w.<>]+\]+`", doc)
    named = re.findall(r"`(?:gancore\.contracts\.)?([A-Z]\w+)`", doc.partition("Contract:")[2])
    assert named
    assert all(hasattr(contracts, name) for name in named)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_implemented_by_some_plugin(hook: str) -> None:
    kinds = {offer.kind for offer in Registry.discover().offers}
    assert hook in {HOOK_OF[kind] for kind in kinds}


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == reference(), "write it anew: gancore hooks -o plugins/HOOKS.md"


def test_the_reference_page_has_every_contract_and_every_method_of_it() -> None:
    page = reference()
    for name, cls in inspect.getmembers(contracts, inspect.isclass):
        if cls.__module__ == contracts.__name__:
            (block,) = re.findall(rf"### \w+ `{name}`\n.*?```python\n(.*?)```", page, re.DOTALL)
            ast.parse(block)
            methods = {m for m, f in vars(cls).items() if inspect.isfunction(f) and not m.startswith("_")}
            assert methods <= set(re.findall(r"def (\w+)", block))
