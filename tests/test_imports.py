"""Who may import whom (the architecture picture in CONTRIBUTING.md), and what a quick start must not import."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import gancore

ROOT = Path(__file__).parents[1]
CORE = ROOT / "gancore"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/src/*/__init__.py"))

# A room knows the rooms to its left, and itself.
ROOMS = [
    "errors", "components", "hookspecs", "contracts", "registry", "experiment", "checkpoint", "health", "observe",
    "training", "assemble", "scaffold", "testing", "cli",
]  # fmt: skip
# Modules of the command line that a command imports when it runs.
INSIDE_COMMANDS = {"gancore.cli.folder", "gancore.cli.signals", "gancore.cli.training"}
HEAVY = {"matplotlib", "numpy", "rich", "tensorboard", "torch", "torchvision"}

PUBLIC = [
    "__version__", "Change", "Companion", "Component", "ComponentError", "Context", "DataError", "DataSpec", "Ending",
    "ExperimentError", "Facts", "Finding", "GancoreError", "History", "On", "Phase", "Role", "Run", "RunFailed",
    "RunFolderError", "UserError", "Vitals", "component", "ge", "gt", "hookimpl", "le", "load", "lt", "max_len",
    "min_len", "option", "required", "state",
]  # fmt: skip


def module_name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(package: Path) -> dict[str, ast.Module]:
    return {
        module_name(file, package.parent): ast.parse(file.read_text("utf-8")) for file in sorted(package.rglob("*.py"))
    }


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every import of a file, wherever it stands: (line, dotted name of a module, or of a name in one).

    `from gancore import checkpoint` is `gancore.checkpoint`; `from gancore.errors import UserError` is
    `gancore.errors.UserError`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; we write absolute ones"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def offences(name: str, tree: ast.Module) -> list[str]:
    """The imports of one core module that point to the right, or past the rooms."""
    room = ROOMS.index(name.split(".")[1])
    found = []
    for line, imported in imports(tree):
        top, *rest = imported.split(".")
        if top.startswith("gancore_"):
            found.append(f"{name}:{line} imports the plugin {top}")
        if top != "gancore" or rest in ([], ["__version__"]):
            continue
        if rest[0] not in ROOMS:
            found.append(f"{name}:{line} imports {imported}, which is in no room")
        elif ROOMS.index(rest[0]) > room:
            found.append(f"{name}:{line} imports {imported}, which stands to its right")
    return found


CORE_SOURCES = sources(CORE)
ROOM_SOURCES = {name: tree for name, tree in CORE_SOURCES.items() if name not in ("gancore", "gancore.__main__")}


def test_every_module_stands_in_a_room() -> None:
    assert [name for name in ROOM_SOURCES if name.split(".")[1] not in ROOMS] == []
    assert len(ROOM_SOURCES) > 30


@pytest.mark.parametrize("name", ROOM_SOURCES)
def test_a_module_imports_only_what_stands_to_its_left(name: str) -> None:
    assert offences(name, ROOM_SOURCES[name]) == []


@pytest.mark.parametrize(
    ("source", "offence"),
    [
        ("import gancore.cli", "gancore.cli, which stands to its right"),
        ("from gancore import observe", "gancore.observe, which stands to its right"),
        ("def f():\n    from gancore.training.run import Run", "gancore.training.run.Run, which stands to its right"),
        ("if TYPE_CHECKING:\n    import gancore.assemble as a", "gancore.assemble, which stands to its right"),
        ("import gancore_mlp", "the plugin gancore_mlp"),
        ("from gancore_mlp.mlp import Mlp", "the plugin gancore_mlp"),
        ("from gancore import Component", "gancore.Component, which is in no room"),
    ],
)
def test_the_test_above_sees(source: str, offence: str) -> None:
    (found,) = offences("gancore.registry", ast.parse(source))
    assert found == f"gancore.registry:{1 + source.count(chr(10))} imports {offence}"


@pytest.mark.parametrize(
    "source",
    ["import gancore", "from gancore import __version__", "from gancore import errors", "import torch",
     "from gancore.registry import Registry", "from gancore.errors import UserError"],
)  # fmt: skip
def test_the_test_above_lets_pass(source: str) -> None:
    assert offences("gancore.registry", ast.parse(source)) == []


@pytest.mark.parametrize("name", ROOM_SOURCES)
def test_of_gancore_itself_a_module_uses_only_the_version(name: str) -> None:
    """Everything else would go round the picture, through the lazy names."""
    tree = ROOM_SOURCES[name]
    if not any(imported == "gancore" for _, imported in imports(tree)):
        return
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gancore"
    }
    assert used == {"__version__"}


def test_all_plugins_are_looked_at() -> None:
    assert len(PLUGINS) == len(list(ROOT.glob("plugins/*/pyproject.toml"))) >= 11


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_plugin_imports_of_gancore_only_what_is_public(package: Path) -> None:
    deeper = [
        f"{name}:{line} imports {imported}"
        for name, tree in sources(package).items()
        for line, imported in imports(tree)
        if imported.split(".")[0] == "gancore"
        and imported not in {"gancore", "gancore.testing", *(f"gancore.{public}" for public in PUBLIC)}
        and not imported.startswith("gancore.testing.")
    ]
    assert deeper == []


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_plugin_imports_another_plugin_only_where_it_depends_on_it(package: Path) -> None:
    import tomllib

    project = tomllib.loads((package.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    dependencies = {line.split(">")[0].replace("-", "_") for line in project["dependencies"]}
    others = {
        imported.split(".")[0]
        for tree in sources(package).values()
        for _, imported in imports(tree)
        if imported.startswith("gancore_")
    }
    assert others - {package.name} <= dependencies


# What stays out of a quick start


def imported_by(code: str) -> set[str]:
    """Top-level packages and modules of gancore in `sys.modules` of a fresh interpreter after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('\\n', *sys.modules, sep='\\n')"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    modules = done.stdout.split("\n\n", 1)[1].split()
    return {name if name.startswith("gancore") else name.split(".")[0] for name in modules}


def test_importing_gancore_imports_nothing_else() -> None:
    loaded = imported_by("import gancore")
    assert not loaded & (HEAVY | {"attrs", "click", "pluggy"})
    assert {name for name in loaded if name.startswith("gancore")} == {"gancore"}


def test_the_command_line_with_every_command_imports_nothing_heavy() -> None:
    loaded = imported_by("import gancore.cli")
    commands = {name for name in CORE_SOURCES if name.startswith("gancore.cli")} - INSIDE_COMMANDS
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("gancore.cli")} == commands


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["plugins"], ["list"]])
def test_a_quick_command_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"import gancore.cli\nsys.argv[1:] = {arguments}\ntry:\n    gancore.cli.main()\nexcept SystemExit as e:"
    assert not imported_by(f"{code}\n    assert not e.code") & HEAVY


def test_listing_what_every_plugin_offers_imports_nothing_heavy() -> None:
    names = [package.name for package in PLUGINS]
    loaded = imported_by(f"import {', '.join(names)}\nfrom gancore.registry import Registry\nRegistry.discover()")
    assert not loaded & HEAVY
    assert loaded >= set(names)


@pytest.mark.slow
def test_help_takes_little_longer_than_its_libraries() -> None:
    """A ratio of interleaved runs, the best of each: whatever else the machine does slows both."""

    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        return time.perf_counter() - start

    libraries = ("-c", "import click, attrs, importlib.metadata")
    pairs = [(seconds("-m", "gancore", "--help"), seconds(*libraries)) for _ in range(7)]
    ours, theirs = (min(times) for times in zip(*pairs, strict=True))
    assert ours < 2 * theirs


# The public names


def test_the_public_names_are_these() -> None:
    assert gancore.__all__ == PUBLIC
    assert dir(gancore) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_resolves_to_what_its_home_calls_so(name: str) -> None:
    value = getattr(gancore, name)
    if name != "__version__":
        assert value is getattr(import_module(f"gancore.{gancore._MODULE_OF[name]}"), name)


def test_type_checkers_see_the_same_names() -> None:
    """They do not run `__getattr__`: for them the names are imported under TYPE_CHECKING."""
    tree = CORE_SOURCES["gancore"]
    seen = {imported for _, imported in imports(tree) if imported.startswith("gancore.")}
    assert seen == {f"gancore.{module}.{name}" for name, module in gancore._MODULE_OF.items()}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'gancore' has no attribute 'Discriminator'$"):
        gancore.Discriminator  # noqa: B018
