"""The kit as authors use it: as test cases, and as a command."""

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from gancore import ComponentError
from gancore.registry import Registry
from gancore.testing import Check, Violation, checks_of, parametrize_with_checks

Install = Callable[..., None]

SOURCE = """
{imports}
from typing import ClassVar
from gancore import Component, component, hookimpl, option{more}

@component
class Odd:
    "Scores (Goodfellow et al. 2014)."
    needs_real: ClassVar[bool] = False
    boundary: ClassVar[str] = "zero"
    {body}

    def discriminator(self, real, fake):
        return (fake - real).mean()

    def generator(self, real, fake):
        return -fake.mean()

@hookimpl
def gancore_losses():
    return [Component("odd", "{module}:Odd", "Odd.")]
"""


def source(module: str, *, imports: str = "", body: str = "", more: str = "") -> str:
    return SOURCE.format(module=module, imports=imports, body=body, more=more)


def named(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_a_distribution_gets_named_checks_of_each_component() -> None:
    names = [check.name for check in checks_of("gancore-penalties")]
    assert "regularizer-r1-penalty-reaches-the-network" in names
    assert "regularizer-dragan-docstring-names-a-source" in names
    assert "regularizer-r1-gradients-ready-reports-numbers" not in names, "a penalty has no such moment"
    assert len(names) == len(set(names))


def test_the_decorator_makes_one_case_of_each_check() -> None:
    @parametrize_with_checks("gancore-digits")
    def test_contract(check: Check) -> None:
        check()

    (mark,) = test_contract.pytestmark  # type: ignore[attr-defined]
    assert list(mark.kwargs["ids"]) == [check.name for check in checks_of("gancore-digits")]


def test_a_distribution_that_is_not_installed_is_named() -> None:
    with pytest.raises(ComponentError, match="nobodys-gans is not installed, or offers no component"):
        list(checks_of("nobodys-gans"))


def test_a_broken_distribution_says_why(install: Install) -> None:
    install("broken-gans", broken_gans="import nothing_of_that_name")
    with pytest.raises(ComponentError, match=r"broken-gans 1.0 is broken .import.: .*nothing_of_that_name"):
        list(checks_of("broken-gans"))


def test_importing_torch_with_the_hooks_is_caught(
    install: Install, monkeypatch: pytest.MonkeyPatch, fake_site: object
) -> None:
    install("heavy-gans", heavy_gans=source("heavy_gans", imports="import torch"))
    monkeypatch.setenv("PYTHONPATH", str(fake_site))
    with pytest.raises(Violation, match="the module of entry point 'heavy_gans' imports torch"):
        named(list(checks_of("heavy-gans")), "loss-odd-discovery-imports-no-torch")()


def test_a_component_that_the_schema_cannot_hold_is_caught(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module imports once, while the checks are collected, and no more when the schema is made."""
    install("fleeting-gans", fleeting_gans=source("fleeting_gans"))
    check = named(list(checks_of("fleeting-gans")), "loss-odd-schema-has-it")
    monkeypatch.delattr(sys.modules["fleeting_gans"], "Odd")
    with pytest.raises(Violation, match="is not in the JSON Schema"):
        check()


def test_required_options_are_handed_to_the_kit(install: Install) -> None:
    body = "weight: float = required('Weight.')"
    install("needy-gans", needy_gans=source("needy_gans", body=body, more=", required"))
    without = named(list(checks_of("needy-gans")), "loss-odd-created-with-its-defaults")
    with pytest.raises(Exception, match=r"has required options .weight.; hand them to the kit") as caught:
        without()
    assert caught.typename == "NotHere"
    named(list(checks_of("needy-gans", {"odd": {"weight": 1.0}})), "loss-odd-created-with-its-defaults")()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "gancore", *arguments], capture_output=True, text=True, timeout=300)


def test_check_plugin_counts_and_exits_with_0() -> None:
    done = command("check-plugin", "gancore-digits", "-v")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "gancore-digits: 9 hold, 0 broken, 0 could not be checked"
    assert "holds   dataset-digits-an-index-gives-the-same-bytes-every-time" in done.stdout


def test_check_plugin_says_what_is_broken_and_exits_with_1(
    install: Install, monkeypatch: pytest.MonkeyPatch, fake_site: object
) -> None:
    install("odd-gans", odd_gans=source("odd_gans", body="weight: float = option(1.0, '')"))
    monkeypatch.setenv("PYTHONPATH", str(fake_site))
    done = command("check-plugin", "odd-gans")
    assert done.returncode == 1
    assert "broken  loss-odd-options-are-documented-and-typed\n  loss 'odd': option 'weight' has no doc" in done.stdout


def test_every_first_party_distribution_has_its_contract_test() -> None:
    """Each runs its own in its own tests; here only that none was forgotten."""
    root = __import__("pathlib").Path(__file__).parents[2]
    for distribution in {offer.plugin.distribution for offer in Registry.discover().offers} - {"gancore"}:
        text = (root / "plugins" / distribution / "tests" / "test_contract.py").read_text()
        assert f'@parametrize_with_checks("{distribution}"' in text


@parametrize_with_checks("gancore")
def test_contract_of_the_callbacks_of_gancore(check: Check) -> None:
    check()


def test_the_kit_needs_no_pytest() -> None:
    assert "pytest" not in import_module("gancore.testing.kit").__dict__
