"""The registry: what strangers' plugins can do wrong, that it harms nobody else, and what people are told."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from gancore.components import Component
from gancore.errors import ComponentError
from gancore.registry import BrokenPlugin, Plugin, Registry, known_distributions

IMPORTS = "from gancore import Component, hookimpl\n"
FIRST_PARTY = {
    "gancore", "gancore-augment", "gancore-clipping", "gancore-dcgan", "gancore-digits", "gancore-images",
    "gancore-losses", "gancore-mlp", "gancore-optimizers", "gancore-penalties", "gancore-spectral-norm",
    "gancore-synthetic",
}  # fmt: skip


def losses(*names: str, target: str = "json:JSONDecoder") -> str:
    """The source of a plugin that offers losses of these names."""
    offered = ", ".join(f'Component("{name}", "{target}", "A loss.")' for name in names)
    return f"{IMPORTS}\n@hookimpl\ndef gancore_losses():\n    return [{offered}]\n"


@frozen
class Case:
    """A way in which a plugin can be broken, and what has to be said about it."""

    stage: str
    error: str
    source: str
    requires: tuple[str, ...] = ()
    entry_point: str = "{module}"


CASES = {
    "raises-on-import": Case("import", "RuntimeError: no luck today", "raise RuntimeError('no luck\\n  today')"),
    "syntax-error": Case("import", "SyntaxError: invalid syntax (syntax_error.py, line 1)", "def of(:"),
    "missing-dependency": Case(
        "import", "ModuleNotFoundError: No module named 'not_installed_here'", "import not_installed_here"
    ),
    "exits-on-import": Case("import", "SystemExit: 3", "raise SystemExit(3)"),
    "missing-attribute": Case(
        "import",
        "AttributeError: module 'missing_attribute' has no attribute 'plugin'",
        losses("lost"),
        entry_point="{module}:plugin",
    ),
    "missing-module": Case(
        "import", "ModuleNotFoundError: No module named 'nowhere'", losses("lost"), entry_point="nowhere"
    ),
    "other-gancore": Case(
        "compatibility", "ImportError: needs gancore>=9, installed is 0.1.0", losses("lost"), ("torch", "gancore>=9")
    ),
    "wrong-argument": Case(
        "hooks",
        "PluginValidationError: Plugin 'wrong-argument:wrong_argument' for hook 'gancore_losses' hookimpl definition: "
        "gancore_losses(config) Argument(s) {{'config'}} are declared in the hookimpl but can not be found in the "
        "hookspec",
        f"{IMPORTS}\n@hookimpl\ndef gancore_losses(config):\n    return []\n",
    ),
    "misspelt-hook": Case(
        "hooks",
        "PluginValidationError: unknown hook 'gancore_loses' in plugin <module 'misspelt_hook' from {file!r}>",
        losses("lost").replace("gancore_losses", "gancore_loses"),
    ),
    "undecorated-hook": Case(
        "hooks",
        "TypeError: gancore_losses: not a function decorated with @gancore.hookimpl",
        losses("lost").replace("@hookimpl", ""),
    ),
    "not-callable": Case(
        "hooks", "TypeError: gancore_losses: not a function decorated with @gancore.hookimpl", "gancore_losses = []"
    ),
    "decorated-class": Case(
        "hooks",
        "TypeError: gancore_losses: not a function decorated with @gancore.hookimpl",
        f"{losses('lost').replace('losses', 'models')}\n@hookimpl\nclass gancore_losses:\n    pass\n",
    ),
    "hook-wrapper": Case(
        "hooks",
        "TypeError: gancore_losses: a hook wrapper; a plugin offers its own components, it does not change others'",
        f"{IMPORTS}\n@hookimpl(wrapper=True)\ndef gancore_losses():\n    yield\n    return []\n",
    ),
    "old-hook-wrapper": Case(
        "hooks",
        "TypeError: gancore_losses: a hook wrapper; a plugin offers its own components, it does not change others'",
        f"{IMPORTS}\n@hookimpl(hookwrapper=True)\ndef gancore_losses():\n    yield\n",
    ),
    "no-hook": Case("hooks", "TypeError: implements no hook of gancore", "gancore_gizmos = 1"),
    "hook-raises": Case(
        "offers", "gancore_losses: ZeroDivisionError: division by zero", losses("lost").replace("return", "1 / 0 #")
    ),
    "hook-exits": Case(
        "offers", "gancore_losses: SystemExit: 3", losses("lost").replace("return", "raise SystemExit(3) #")
    ),
    "returns-none": Case(
        "offers",
        "gancore_losses: TypeError: returned None, not a list of gancore.Component",
        losses("lost").replace("return", ""),
    ),
    "returns-text": Case(
        "offers",
        "gancore_losses: TypeError: returned 'lost', not a list of gancore.Component",
        f"{IMPORTS}\n@hookimpl\ndef gancore_losses():\n    return 'lost'\n",
    ),
    "returns-numbers": Case(
        "offers",
        "gancore_losses: TypeError: returned 1 in its list, not a gancore.Component",
        f"{IMPORTS}\n@hookimpl\ndef gancore_losses():\n    return [1, 2]\n",
    ),
    "returns-dict": Case(
        "offers",
        "gancore_losses: TypeError: returned {{'lost': 1}}, not a list of gancore.Component",
        f"{IMPORTS}\n@hookimpl\ndef gancore_losses():\n    return {{'lost': 1}}\n",
    ),
    "generator-raises": Case(
        "offers",
        "gancore_losses: ValueError: half-way",
        losses("lost").replace("return [", "yield ").rstrip("]\n") + "\n    raise ValueError('half-way')\n",
    ),
    "offers-twice": Case("offers", "gancore_losses: ValueError: offers lost twice", losses("lost", "other", "lost")),
    "two-hooks-one-name": Case(
        "offers",
        "gancore_losses: ValueError: offers kept twice",
        losses("kept")
        + '\n@hookimpl(specname="gancore_losses")\ndef more():\n    return [Component("kept", "a:B", "")]\n',
    ),
    "malformed-name": Case(
        "offers",
        "gancore_losses: ValueError: name must look like 'wgan-gp', not 'Lost_Loss'",
        losses("Lost_Loss"),
    ),
    "malformed-target": Case(
        "offers",
        "gancore_losses: ValueError: target must look like 'package.module:Class', not 'json.JSONDecoder'",
        losses("lost", target="json.JSONDecoder"),
    ),
    "summary-is-no-text": Case(
        "offers",
        "gancore_losses: ValueError: summary must look like 'One line.', not None",
        losses("lost").replace('"A loss."', "None"),
    ),
}


def put(install: Any, name: str) -> None:
    case, module = CASES[name], name.replace("-", "_")
    point = case.entry_point.format(module=module)
    install(name, requires=case.requires, entry_points={module: point}, **{module: case.source})


def error_of(name: str, site: Path) -> str:
    return CASES[name].error.format(file=str(site / f"{name.replace('-', '_')}.py"))


def first_party(registry: Registry) -> list[str]:
    return sorted(f"{o.kind} {o.qualified_name}" for o in registry.offers if o.plugin.distribution in FIRST_PARTY)


@pytest.fixture(scope="module")
def healthy() -> Registry:
    return Registry.discover()


@pytest.mark.parametrize("name", CASES)
def test_a_broken_plugin_is_recorded_with_its_reason_and_harms_nobody(
    name: str, healthy: Registry, install: Any, fake_site: Path
) -> None:
    put(install, name)
    registry = Registry.discover()
    (broken,) = registry.broken
    assert broken.plugin == Plugin(name, "1.0", name.replace("-", "_"))
    assert broken.stage == CASES[name].stage
    assert broken.error == error_of(name, fake_site)
    assert first_party(registry) == first_party(healthy)
    assert "lost" not in {offer.name for offer in registry.offers}


def test_all_broken_plugins_together_harm_nobody(healthy: Registry, install: Any) -> None:
    for name in CASES:
        put(install, name)
    registry = Registry.discover()
    assert [broken.plugin.distribution for broken in registry.broken] == sorted(CASES)
    assert first_party(registry) == first_party(healthy)


def test_a_plugin_with_one_broken_hook_keeps_its_others(install: Any) -> None:
    half = losses("lost").replace("return", "1 / 0 #") + losses("kept").replace("gancore_losses", "gancore_models")
    install("half", half=half)
    registry = Registry.discover()
    assert Plugin("half", "1.0", "half") in registry.plugins
    assert registry.find("model", "kept").qualified_name == "half/kept"
    assert [str(broken) for broken in registry.broken] == [
        "half 1.0 is broken (offers): gancore_losses: ZeroDivisionError: division by zero"
    ]


def test_a_message_that_something_is_not_found_mentions_every_broken_plugin(install: Any) -> None:
    put(install, "missing-dependency")
    put(install, "hook-raises")
    with pytest.raises(ComponentError) as caught:
        Registry.discover().find("loss", "lost")
    assert str(caught.value).endswith(
        "; hook-raises 1.0 is broken (offers): gancore_losses: ZeroDivisionError: division by zero"
        "; missing-dependency 1.0 is broken (import): ModuleNotFoundError: No module named 'not_installed_here'"
    )


def test_a_distribution_whose_metadata_are_gone_is_broken_and_harms_nobody(
    healthy: Registry, install: Any, fake_site: Path
) -> None:
    """What an interrupted uninstall leaves behind."""
    install("left-over", left_over=losses("lost"))
    (fake_site / "left_over-1.0.dist-info" / "METADATA").unlink()
    registry = Registry.discover()
    assert [str(broken) for broken in registry.broken] == [
        f"? ? is broken (compatibility): ImportError: its metadata in {fake_site} are gone, perhaps half uninstalled; "
        "install it again or remove it"
    ]
    assert first_party(registry) == first_party(healthy)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("class E(Exception):\n    def __str__(self):\n        1 / 0\nraise E", "E: (its message cannot be shown)"),
        ("raise OSError('\\x1b[31mred\\x07')", "OSError: \ufffd[31mred\ufffd"),
        ("raise OSError('x' * 10**6)", f"OSError: {'x' * 500}..."),
    ],
    ids=["cannot be shown", "controls the terminal", "is endless"],
)
def test_a_strangers_message_harms_no_screen(source: str, error: str, healthy: Registry, install: Any) -> None:
    install("stranger", stranger=source)
    registry = Registry.discover()
    assert [broken.error for broken in registry.broken] == [error]
    assert first_party(registry) == first_party(healthy)


def test_a_distribution_whose_metadata_cannot_be_read_is_broken_and_harms_nobody(
    healthy: Registry, install: Any, fake_site: Path
) -> None:
    install("garbled", garbled=losses("lost"))
    (fake_site / "garbled-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\n")
    registry = Registry.discover()
    assert [str(broken) for broken in registry.broken] == [
        "? ? is broken (compatibility): UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 6: "
        "invalid start byte"
    ]
    assert first_party(registry) == first_party(healthy)


def test_an_interrupt_is_not_taken_for_a_broken_plugin(install: Any) -> None:
    install("slow-plugin", slow_plugin="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Registry.discover()


# Two plugins, one name


def test_two_plugins_that_offer_one_name_disturb_nobody_until_it_is_used(install: Any) -> None:
    install("one", one=losses("shared", "only-one"))
    install("two", two=losses("shared"))
    registry = Registry.discover()
    assert registry.broken == ()
    assert registry.find("loss", "only-one").plugin == Plugin("one", "1.0", "one")
    assert registry.find("loss", "hinge").qualified_name == "gancore-losses/hinge"


def test_using_a_name_of_two_plugins_is_an_error_that_lists_both(install: Any) -> None:
    install("one", one=losses("shared"))
    install("two", two=losses("shared"))
    with pytest.raises(ComponentError) as caught:
        Registry.discover().find("loss", "shared")
    assert str(caught.value) == ('loss "shared" is offered by more than one plugin: write "one/shared" or "two/shared"')


def test_a_qualified_name_always_works(install: Any) -> None:
    install("one", one=losses("hinge"))
    registry = Registry.discover()
    assert registry.find("loss", "one/hinge").plugin.distribution == "one"
    assert registry.find("loss", "gancore-losses/hinge").plugin.distribution == "gancore-losses"


def test_two_distributions_may_give_an_entry_point_the_same_name(install: Any) -> None:
    install("one", entry_points={"plugin": "one"}, one=losses("of-one"))
    install("two", entry_points={"plugin": "two"}, two=losses("of-two"))
    registry = Registry.discover()
    assert registry.broken == ()
    assert registry.find("loss", "of-one").plugin == Plugin("one", "1.0", "plugin")
    assert registry.find("loss", "of-two").plugin == Plugin("two", "1.0", "plugin")


def test_a_name_offered_by_two_entry_points_of_one_distribution_goes_to_the_first(install: Any) -> None:
    """No qualified name could tell them apart."""
    install("one", first=losses("shared"), second=losses("shared", "other"))
    registry = Registry.discover()
    assert registry.find("loss", "shared").plugin == Plugin("one", "1.0", "first")
    assert registry.broken == (
        BrokenPlugin(Plugin("one", "1.0", "second"), "offers", "gancore_losses: ValueError: offers shared twice"),
    )


def test_one_name_may_stand_for_components_of_two_kinds(healthy: Registry) -> None:
    assert healthy.find("loss", "wgan-gp").qualified_name == "gancore-losses/wgan-gp"
    assert healthy.find("regularizer", "wgan-gp").qualified_name == "gancore-penalties/wgan-gp"


def test_distribution_names_are_written_canonically(install: Any) -> None:
    install("My_Plugin.GAN", mine=losses("mine"))
    assert Registry.discover().find("loss", "my-plugin-gan/mine").name == "mine"


# What a plugin may be


def test_a_plugin_may_be_an_object_in_a_module(install: Any) -> None:
    source = (
        f"{IMPORTS}class P:\n  @hookimpl\n  def gancore_losses(self):\n    return [Component('of-object', 'a:B', '')]\n"
    )
    install("object", entry_points={"it": "objects:plugin"}, objects=f"{source}plugin = P()\n")
    registry = Registry.discover()
    assert registry.broken == ()
    assert registry.find("loss", "of-object").plugin == Plugin("object", "1.0", "it")


def test_a_hook_may_be_a_generator(install: Any) -> None:
    install("lazy", lazy=losses("of-generator").replace("return", "yield from"))
    assert Registry.discover().find("loss", "of-generator").qualified_name == "lazy/of-generator"


@pytest.mark.parametrize(
    "requires",
    [(), ("gancore",), ("gancore>=0.1,<0.2",), ("GanCore~=0.1.0",), ("gancore>=9; sys_platform == 'none'",),
     ("gancore>=9; extra == 'next'",), ("no requirement at all!",), ("gancore-losses>=9",)],
)  # fmt: skip
def test_only_a_requirement_on_another_gancore_is_incompatible(requires: tuple[str, ...], install: Any) -> None:
    install("fits", requires=requires, fits=losses("fitting"))
    registry = Registry.discover()
    assert registry.broken == ()
    assert registry.find("loss", "fitting").name == "fitting"


# Targets are imported when they are selected, not before


def test_targets_are_not_imported_by_discovery(install: Any) -> None:
    install("late", late=losses("later", target="nowhere.at_all:Loss"))
    registry = Registry.discover()
    assert registry.broken == ()
    assert registry.find("loss", "later").component.target == "nowhere.at_all:Loss"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere:Loss", "cannot import nowhere:Loss: ModuleNotFoundError: No module named 'nowhere'"),
        ("late:Loss", "cannot import late:Loss: AttributeError: module 'late' has no attribute 'Loss'"),
        ("exits:Loss", "cannot import exits:Loss: SystemExit: 3"),
        ("late:gancore_losses", "late:gancore_losses is no component class; decorate it with @gancore.component"),
        ("json:JSONDecoder", "json:JSONDecoder is no component class; decorate it with @gancore.component"),
    ],
)
def test_a_target_that_cannot_be_used_says_whose_it_is(
    target: str, message: str, install: Any, fake_site: Path
) -> None:
    (fake_site / "exits.py").write_text("raise SystemExit(3)")
    install("late-plugin", late=losses("later", target=target))
    with pytest.raises(ComponentError) as caught:
        Registry.discover().find("loss", "later").load()
    assert str(caught.value) == f"loss 'later' of late-plugin 1.0: {message}"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("x: 'Nope' = option(1, '')", "cannot tell the types of its options: NameError: name 'Nope' is not defined"),
        ("name: str = option('', '')", "no option can be called name: `name` selects the component, and attrs drops a "
         "leading underscore"),
        ("_x: int = option(1, '')", "no option can be called _x: `name` selects the component, and attrs drops a "
         "leading underscore"),
    ],
)  # fmt: skip
def test_a_component_whose_options_cannot_be_written_is_refused(
    option: str, message: str, install: Any, fake_site: Path
) -> None:
    (fake_site / "oddly.py").write_text(f"from gancore import *\n\n@component\nclass Loss:\n    {option}\n")
    install("odd", odd=losses("odd", target="oddly:Loss"))
    with pytest.raises(ComponentError) as caught:
        Registry.discover().find("loss", "odd").load()
    assert str(caught.value) == f"loss 'odd' of odd 1.0: {message}"


def test_every_installed_component_loads(healthy: Registry) -> None:
    for offer in healthy.offers:
        assert offer.load().__name__ == offer.component.target.partition(":")[2]


# Messages about what is not there


def only(*distributions: str) -> Registry:
    """What `discover` finds where nothing but these is installed."""
    points = entry_points(group="gancore")
    return Registry.discover([point for point in points if point.dist and point.dist.name in distributions])


def not_found(registry: Registry, kind: Any, name: str) -> str:
    with pytest.raises(ComponentError) as caught:
        registry.find(kind, name)
    return str(caught.value)


def test_a_known_component_that_is_not_installed_names_what_to_install() -> None:
    assert not_found(only("gancore", "gancore-losses", "gancore-mlp"), "model", "dcgan") == (
        'no model "dcgan" is installed; gancore-dcgan brings it: python -m pip install gancore-dcgan; installed: mlp'
    )


def test_a_qualified_name_of_something_not_installed_names_what_to_install() -> None:
    assert not_found(only("gancore", "gancore-mlp"), "model", "gancore-dcgan/dcgan") == (
        'no model "gancore-dcgan/dcgan" is installed; gancore-dcgan brings it: python -m pip install gancore-dcgan; '
        "installed: mlp"
    )


def test_a_misspelt_name_is_answered_with_the_closest_one_installed() -> None:
    assert not_found(only("gancore", "gancore-mlp"), "model", "mpl") == (
        'no model "mpl" is installed; did you mean "mlp"?; installed: mlp'
    )


def test_a_misspelt_name_of_something_not_installed_says_so() -> None:
    assert not_found(only("gancore", "gancore-mlp"), "model", "dcgn") == (
        'no model "dcgn" is installed; did you mean "dcgan" (of gancore-dcgan, not installed)?; installed: mlp'
    )


def test_a_name_like_no_other_is_answered_with_what_is_installed() -> None:
    assert not_found(only("gancore", "gancore-augment"), "regularizer", "xyz") == (
        'no regularizer "xyz" is installed; installed: diffaugment, instance-noise'
    )


def test_a_name_that_would_break_the_line_is_shown_escaped() -> None:
    assert not_found(only("gancore", "gancore-mlp"), "model", 'a\n"\x1b[31m') == (
        r'no model "a\n\"\u001b[31m" is installed; installed: mlp'
    )


def test_without_any_plugin_the_message_says_how_to_get_the_usual_ones() -> None:
    assert not_found(only("gancore"), "loss", "hinge") == (
        'no loss "hinge" is installed; gancore-losses brings it: python -m pip install gancore-losses; '
        "no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'"
    )


def test_a_broken_plugin_counts_as_installed(install: Any) -> None:
    install("only-one", only_one="1 / 0")
    assert not_found(only("gancore", "only-one"), "metric", "xyz") == (
        'no metric "xyz" is installed; only-one 1.0 is broken (import): ZeroDivisionError: division by zero'
    )


def test_the_callbacks_and_rules_of_gancore_itself_are_offered_like_any_plugin() -> None:
    registry = only("gancore")
    assert [offer.name for offer in registry.offers if offer.kind == "callback"] == [
        "health", "progress", "tensorboard", "stats", "samples", "checkpoint",
    ]  # fmt: skip
    assert {offer.kind for offer in registry.offers} == {"callback", "rule"}
    assert {"vanishing-depth", "mode-collapse", "sigmoid-on-logits"} <= {o.name for o in registry.of_kind("rule")}


def test_the_known_plugins_are_those_we_publish(healthy: Registry) -> None:
    """`known_plugins.json` says who brings what; the distributions themselves say the same."""
    offered: dict[str, dict[str, str]] = {}
    for offer in healthy.offers:
        if offer.plugin.distribution in FIRST_PARTY - {"gancore"}:
            offered.setdefault(offer.kind, {})[offer.name] = offer.plugin.distribution
    assert {kind: names for kind, names in known_distributions().items() if names} == offered


def test_all_plugins_we_publish_are_installed_here_and_work(healthy: Registry) -> None:
    assert {plugin.distribution for plugin in healthy.plugins} >= FIRST_PARTY
    assert [broken for broken in healthy.broken if broken.plugin.distribution in FIRST_PARTY] == []


@pytest.mark.parametrize("name", ["a", "r1", "wgan-gp", "stylegan-2-ada"])
def test_component_names(name: str) -> None:
    assert Component(name, "a.b:C", "").name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a--b", "A", "a_b", "a b", "a/b", "é", "a\n", 7, None])
def test_what_is_no_component_name(name: Any) -> None:
    with pytest.raises(ValueError, match=r"name must look like 'wgan-gp', not "):
        Component(name, "a.b:C", "")


@pytest.mark.parametrize("target", ["", "a", "a.b", "a:", ":C", "a:b:C", "a:C()", "a.b:C.D", "a b:C", "1a:C", None])
def test_what_is_no_target(target: Any) -> None:
    with pytest.raises(ValueError, match=r"target must look like 'package\.module:Class', not "):
        Component("a", target, "")


# The command


def plugins_command(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gancore", "plugins", *arguments]
    environment = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run(command, env=environment, cwd=site, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_shows_every_broken_plugin_with_its_reason(install: Any, fake_site: Path) -> None:
    for name in CASES:
        put(install, name)
    done = plugins_command(fake_site)
    assert (done.returncode, done.stderr) == (0, "")
    below: dict[str, str] = {}
    for line in done.stdout.splitlines():
        if not line.startswith(" "):
            below[plugin := line] = ""
        else:
            below[plugin] += " ".join(line.split()) + "\n"
    for name, case in CASES.items():
        assert below[f"{name} 1.0"].endswith(f"broken ({case.stage}): {error_of(name, fake_site)}\n")
    assert below["gancore-mlp 0.1.0"] == "model mlp\n"


def test_the_command_tells_scripts_the_same_as_json(install: Any, fake_site: Path) -> None:
    for name in CASES:
        put(install, name)
    done = plugins_command(fake_site, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    records = {record["distribution"]: record for record in json.loads(done.stdout)}
    for name, case in CASES.items():
        (reason,) = records[name]["broken"]
        assert reason == {"stage": case.stage, "error": error_of(name, fake_site)}
    assert records["gancore-mlp"] == {
        "distribution": "gancore-mlp",
        "version": "0.1.0",
        "entry_point": "mlp",
        "components": ["model mlp"],
        "broken": [],
    }
