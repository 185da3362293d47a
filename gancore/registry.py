"""The registry: which components are installed, which plugins are broken and why, and `find(kind, name)`.

Plugins are strangers' code. pluggy's own `load_setuptools_entrypoints` aborts on the first broken one, silently drops
a second distribution that reuses an entry-point name, and one raising hook implementation loses everybody's results.
So every entry point is loaded in its own `try`, registered under `distribution:name`, and each hook implementation is
called on its own. What fails becomes a `BrokenPlugin` that every "not found" message mentions; the others go on
working.
"""

import inspect
import json
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Any

import attrs
import pluggy
from attrs import frozen
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import gancore
from gancore import hookspecs
from gancore.components import KINDS, Component, Kind, options_of
from gancore.errors import ComponentError

GROUP = "gancore"
HOOK_OF: dict[Kind, str] = {kind: f"gancore_{kind}es" if kind == "loss" else f"gancore_{kind}s" for kind in KINDS}


@frozen
class Plugin:
    """One entry point: a distribution may have several."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@frozen
class BrokenPlugin:
    """A plugin, or one hook of it, that does not work.

    Attributes:
        stage: `compatibility` (wants another gancore), `import`, `hooks` (does not fit the hook specifications) or
            `offers` (a hook raised or returned something else than components).
    """

    plugin: Plugin
    stage: str
    error: str

    def __str__(self) -> str:
        return f"{self.plugin} is broken ({self.stage}): {self.error}"


@frozen
class Offer:
    """One component of an installed plugin."""

    kind: Kind
    component: Component
    plugin: Plugin

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def qualified_name(self) -> str:
        """`distribution/name`: always works, also where two plugins offer the same name."""
        return f"{self.plugin.distribution}/{self.name}"

    def load(self) -> type:
        """Import the component's class.

        Raises:
            ComponentError: the import fails, or what it finds is no component class.
        """
        module_name, _, class_name = self.component.target.partition(":")
        what = f"{self.kind} {self.name!r} of {self.plugin}"
        try:
            cls = getattr(import_module(module_name), class_name)
        except (Exception, SystemExit) as error:
            raise ComponentError(f"{what}: cannot import {self.component.target}: {_brief(error)}") from error
        if not (inspect.isclass(cls) and attrs.has(cls)):
            raise ComponentError(
                f"{what}: {self.component.target} is no component class; decorate it with @gancore.component"
            )
        try:
            names = {field.name for field in options_of(cls)}
        except Exception as error:  # an annotation that names nothing
            raise ComponentError(f"{what}: cannot tell the types of its options: {_brief(error)}") from error
        if unwritable := sorted(name for name in names if name == "name" or name.startswith("_")):
            raise ComponentError(
                f"{what}: no option can be called {' or '.join(unwritable)}: `name` selects the component, and attrs "
                "drops a leading underscore"
            )
        return cls


@frozen(eq=False)
class Registry:
    """Everything the installed plugins offer.

    Attributes:
        plugins: those that work, also partly.
        offers: their components.
        broken: what does not work, and why.
    """

    plugins: tuple[Plugin, ...]
    offers: tuple[Offer, ...]
    broken: tuple[BrokenPlugin, ...]

    @classmethod
    def discover(cls, points: Iterable[EntryPoint] | None = None) -> "Registry":
        """Load every installed plugin, or those of the given entry points."""
        points = entry_points(group=GROUP) if points is None else points
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        plugins: list[Plugin] = []
        offers: list[Offer] = []
        broken: list[BrokenPlugin] = []
        found = [(_plugin_of(point), point) for point in points]
        for plugin, point in sorted(found, key=lambda pair: (pair[0].distribution, pair[0].entry_point)):
            stage = "compatibility"
            try:
                _check_compatibility(point)
                stage = "import"
                module = point.load()
                stage = "hooks"
                name = f"{plugin.distribution}:{plugin.entry_point}"
                _register(manager, module, name)
            except (Exception, SystemExit) as error:
                broken.append(BrokenPlugin(plugin, stage, _brief(error)))
                continue
            plugins.append(plugin)
            for kind, impl in _implementations(manager, name):
                ours = [o.name for o in offers if (o.kind, o.plugin.distribution) == (kind, plugin.distribution)]
                try:
                    offers += [Offer(kind, component, plugin) for component in _components(impl.function(), ours)]
                except (Exception, SystemExit) as error:
                    broken.append(BrokenPlugin(plugin, "offers", f"{HOOK_OF[kind]}: {_brief(error)}"))
        return cls(tuple(plugins), tuple(offers), tuple(broken))

    def of_kind(self, kind: Kind) -> tuple[Offer, ...]:
        return tuple(sorted((o for o in self.offers if o.kind == kind), key=lambda o: o.qualified_name))

    def find(self, kind: Kind, name: str) -> Offer:
        """The component of that kind that goes by `name` or by `distribution/name`.

        Raises:
            ComponentError: there is none, or the bare name is offered by two distributions.
        """
        found = [offer for offer in self.of_kind(kind) if name in (offer.name, offer.qualified_name)]
        if len(found) == 1:
            return found[0]
        if found:
            names = " or ".join(f'"{offer.qualified_name}"' for offer in found)
            raise ComponentError(f'{kind} "{name}" is offered by more than one plugin: write {names}')
        raise ComponentError(self._not_found(kind, name))

    def _not_found(self, kind: Kind, name: str) -> str:
        installed = {offer.name for offer in self.of_kind(kind)}
        known = known_distributions()[kind]
        bare = name.rpartition("/")[2]
        sentences = [f"no {kind} {json.dumps(name, ensure_ascii=False)} is installed"]
        if bare in known and bare not in installed:
            sentences.append(f"{known[bare]} brings it: python -m pip install {known[bare]}")
        elif close := get_close_matches(bare, sorted(installed | set(known)), n=1):
            where = "" if close[0] in installed else f" (of {known[close[0]]}, not installed)"
            sentences.append(f'did you mean "{close[0]}"{where}?')
        if installed:
            sentences.append(f"installed: {', '.join(sorted(installed))}")
        plugins = (*self.plugins, *(broken.plugin for broken in self.broken))
        if all(plugin.distribution == "gancore" for plugin in plugins):
            sentences.append("no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'")
        sentences += [str(broken) for broken in self.broken]
        return "; ".join(sentences)


@cache
def known_distributions() -> dict[Kind, dict[str, str]]:
    """Which distribution brings which component, for those we know of: installed or not. Only used in messages."""
    known: dict[Kind, dict[str, str]] = json.loads(files("gancore").joinpath("known_plugins.json").read_text("utf-8"))
    return {kind: known.get(kind, {}) for kind in KINDS}


def _plugin_of(point: EntryPoint) -> Plugin:
    try:
        metadata = point.dist.metadata if point.dist else None
    except ValueError:  # no UTF-8; _check_compatibility meets it again, where it can be recorded
        metadata = None
    name, version = (metadata[key] if metadata and key in metadata else "?" for key in ("Name", "Version"))
    return Plugin(canonicalize_name(name), version, point.name)


def _check_compatibility(point: EntryPoint) -> None:
    """A plugin says once which gancore it fits, in its dependencies. pip checks that on install; we check what is
    there."""
    if point.dist and not point.dist.metadata:
        folder = point.dist.locate_file("")
        raise ImportError(f"its metadata in {folder} are gone, perhaps half uninstalled; install it again or remove it")
    for line in (point.dist.requires if point.dist else None) or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != "gancore" or (
            requirement.marker and not requirement.marker.evaluate()
        ):
            continue
        if not requirement.specifier.contains(gancore.__version__, prereleases=True):
            raise ImportError(f"needs gancore{requirement.specifier}, installed is {gancore.__version__}")


def _register(manager: pluggy.PluginManager, module: Any, name: str) -> None:
    """Register one plugin; unregister it again if it does not fit the hook specifications."""
    undecorated = [
        hook
        for hook in HOOK_OF.values()
        if (function := getattr(module, hook, None)) is not None
        and not (inspect.isroutine(function) and hasattr(function, "gancore_impl"))
    ]
    if undecorated:
        raise TypeError(f"{', '.join(undecorated)}: not a function decorated with @gancore.hookimpl")
    try:
        manager.register(module, name)
        manager.check_pending()
        implementations = list(_implementations(manager, name))
        if not implementations:
            raise TypeError("implements no hook of gancore")
        if wrappers := [HOOK_OF[kind] for kind, impl in implementations if impl.wrapper or impl.hookwrapper]:
            raise TypeError(
                f"{', '.join(wrappers)}: a hook wrapper; a plugin offers its own components, it does not change others'"
            )
    except Exception:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        raise


def _implementations(manager: pluggy.PluginManager, name: str) -> Iterator[tuple[Kind, pluggy.HookImpl]]:
    for kind, hook_name in HOOK_OF.items():
        for impl in getattr(manager.hook, hook_name).get_hookimpls():
            if impl.plugin_name == name:
                yield kind, impl


def _components(returned: Any, ours: list[str]) -> list[Component]:
    """What one hook returned, checked; `ours` is what its distribution offers already."""
    if isinstance(returned, str | bytes | dict) or not isinstance(returned, Iterable):
        raise TypeError(f"returned {returned!r}, not a list of gancore.Component")
    components = list(returned)
    for component in components:
        if not isinstance(component, Component):
            raise TypeError(f"returned {component!r} in its list, not a gancore.Component")
    names = [*ours, *(component.name for component in components)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"offers {', '.join(sorted(twice))} twice")
    return components


def _brief(error: BaseException) -> str:
    """An exception in one line, whatever a stranger has put into it."""
    try:
        words = str(error).split()
    except Exception:
        words = ["(its message cannot be shown)"]
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(words))
    return f"{type(error).__name__}: {line if len(line) <= 500 else line[:500] + '...'}"
