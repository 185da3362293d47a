"""The whole file -> `Experiment`, or every problem of the file at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

import attrs

from gancore.components import Kind, options_of
from gancore.contracts import Companion
from gancore.errors import ComponentError, ExperimentError, Problem
from gancore.experiment import document
from gancore.experiment.document import Document
from gancore.experiment.path import Path, show
from gancore.experiment.structure import MOST, did_you_mean, say, structure
from gancore.experiment.tables import DEFAULT_CALLBACKS, DEFAULT_CHECKPOINT, Experiment, Health, Log, Selection, Train
from gancore.registry import Registry

TABLES = (
    "name", "data", "model", "generator", "discriminator", "loss", "optimizer", "regularizer", "metric",
    "train", "checkpoint", "log", "health", "callback", "plugins",
)  # fmt: skip
ROLES = ("generator", "discriminator")
LONGEST_NAME = 200  # file systems allow 255 bytes; the run's number has to fit as well. Components have shorter ones.


def read(
    file: FilePath | str, registry: Registry, overrides: Iterable[str] = (), provided: Iterable[str] = ()
) -> Experiment:
    """Read an experiment file.

    Args:
        overrides: `key=value` strings, as `--set` takes them.
        provided: what will be handed in as an object (`data`, `generator`, `discriminator`) and may be missing in the
            file.

    Raises:
        ExperimentError: with all problems of the file, or the first hundred.
    """
    file = FilePath(file)
    return _Reader(document.load(file, overrides), registry).experiment(file.stem, frozenset(provided))


class _Reader:
    """Walks the tables once. Problems are collected; a part with problems is None."""

    def __init__(self, doc: Document, registry: Registry) -> None:
        self.doc = doc
        self.registry = registry
        self.problems: list[Problem] = []

    def experiment(self, stem: str, provided: frozenset[str]) -> Experiment:
        tables = self.doc.tables
        for key in tables:
            if key not in TABLES:
                self.complain((key,), f"unknown table or key{did_you_mean(key, TABLES)}", at_key=True)
        name = self.name(stem)
        train = self.train()
        log = self.settings(Log, ("log",))
        data = self.slot("dataset", "data", provided)
        networks = self.networks(provided)
        loss = self.slot("loss", "loss", frozenset())
        optimizers = self.optimizers()
        regularizers = self.many("regularizer")
        metrics = self.many("metric")
        callbacks = self.many("callback") if "callback" in tables else self.defaults()
        checkpoint = self.component(
            "callback", self.table(("checkpoint",)), ("checkpoint",), default=DEFAULT_CHECKPOINT
        )
        health, rules = self.health()
        plugins = self.plugins()
        chosen = [
            data,
            *networks.values(),
            loss,
            *optimizers.values(),
            *regularizers,
            *metrics,
            *callbacks,
            checkpoint,
        ]
        brought = [
            companion
            for selection in dict.fromkeys(chosen)
            if selection
            for companion in self.companions(selection, chosen)
        ]
        if self.problems:
            raise ExperimentError(self.problems)
        assert loss is not None
        assert checkpoint is not None
        assert optimizers["generator"] is not None
        assert optimizers["discriminator"] is not None
        return Experiment(
            name=name,
            source=self.doc.source,
            train=train,
            log=log,
            loss=loss,
            data=data,
            generator=networks["generator"],
            discriminator=networks["discriminator"],
            optimizer_generator=optimizers["generator"],
            optimizer_discriminator=optimizers["discriminator"],
            checkpoint=checkpoint,
            regularizers=_of_kind("regularizer", regularizers, brought),
            metrics=_of_kind("metric", metrics, brought),
            callbacks=_of_kind("callback", callbacks, brought),
            health=health,
            rules=tuple(rules),
            plugins=plugins,
        )

    # ------------------------------------------------------------------------------------------------ the parts

    def name(self, stem: str) -> str:
        name = self.doc.tables.get("name", stem)
        if not isinstance(name, str) or not name or name != FilePath(name).name or name in (".", ".."):
            self.complain(("name",), "expected a name that can be a folder's")
            return stem
        if not name.isprintable() or len(name.encode(errors="replace")) > LONGEST_NAME:
            self.complain(("name",), f"expected printable characters, {LONGEST_NAME} bytes of UTF-8 at most")
            return stem
        return name

    def train(self) -> Train:
        table = self.table(("train",))
        train: Train = self.settings(Train, ("train",))
        if table is None and "train" in self.doc.tables:
            return train  # already complained about
        given = {"steps", "epochs"} & set(table or ())
        if len(given) != 1:
            message = "give steps or epochs, not both" if given else "give steps (or epochs): how long to train"
            self.complain(("train",), message, at_key=True)
        return train

    def settings(self, cls: type[Any], path: Path, table: Mapping[str, Any] | None = None) -> Any:
        """One of the engine's own tables. With problems: its defaults, so that reading can go on."""
        options = self.options(cls, (self.table(path) or {}) if table is None else table, path)
        return cls() if options is None else cls(**options)

    def networks(self, provided: frozenset[str]) -> dict[str, Selection | None]:
        """`[model]`, or `[generator]` and `[discriminator]`."""
        tables = self.doc.tables
        separate = [role for role in ROLES if role in tables]
        if "model" in tables:
            for role in separate:
                message = "[model] already selects both networks; use either [model] or [generator] and [discriminator]"
                self.complain((role,), message, at_key=True)
            model = self.slot("model", "model", frozenset())
            return dict.fromkeys(ROLES, model)
        if not separate and not provided & set(ROLES):
            self.complain((), "missing table [model] (or [generator] and [discriminator])")
            return dict.fromkeys(ROLES, None)
        return {role: self.slot("model", role, provided) for role in ROLES}

    def optimizers(self) -> dict[str, Selection | None]:
        """`[optimizer]` for both; `[optimizer.generator]` changes some options of it, or names another one
        altogether."""
        table = self.table(("optimizer",))
        if table is None:
            if "optimizer" not in self.doc.tables:
                self.complain((), "missing table [optimizer]")
            return dict.fromkeys(ROLES, None)
        shared = {key: value for key, value in table.items() if key not in ROLES}
        own = {role: self.table(("optimizer", role)) or {} for role in ROLES}
        found: dict[str, Selection | None] = {}
        if all("name" in own[role] for role in ROLES):
            for key in shared:
                message = "has no effect: [optimizer.generator] and [optimizer.discriminator] both name their own"
                self.complain(("optimizer", key), message, at_key=True)
        if not any(own.values()):
            return dict.fromkeys(ROLES, self.component("optimizer", shared, ("optimizer",)))
        for role in ROLES:
            merged = own[role] if "name" in own[role] else {**shared, **own[role]}
            inherited = {key for key in merged if key not in own[role]}
            found[role] = self.component("optimizer", merged, ("optimizer", role), inherited=inherited)
        return found

    def many(self, kind: Kind) -> list[Selection | None]:
        """`[[regularizer]]`, `[[metric]]`, `[[callback]]`."""
        tables = self.doc.tables.get(kind, [])
        if not isinstance(tables, list):
            self.complain((kind,), f"there may be several: write [[{kind}]]", at_key=True)
            return []
        found = []
        for i, table in enumerate(tables):
            if isinstance(table, dict):
                found.append(self.component(kind, table, (kind, i)))
            else:
                self.complain((kind, i), f"expected a table: write [[{kind}]]")
        return found

    def defaults(self) -> list[Selection | None]:
        return [self.component("callback", {"name": name}, ("callback", i)) for i, name in enumerate(DEFAULT_CALLBACKS)]

    def health(self) -> tuple[Health, list[Selection]]:
        """`[health]`, and the rules: the engine's own unless they are ignored, others' where a table names them."""
        table = self.table(("health",)) or {}
        own = {field.name for field in options_of(Health)}
        named = {key: value for key, value in table.items() if key not in own and isinstance(value, dict)}
        health: Health = self.settings(Health, ("health",), {k: v for k, v in table.items() if k not in named})
        usual = [o.name for o in self.registry.of_kind("rule") if o.plugin.distribution == "gancore"]
        for i, name in enumerate(health.ignore):
            if name not in usual:
                self.complain(("health", "ignore", i), f"no such rule{did_you_mean(name, usual)}")
        rules: dict[str, Selection] = {}
        for name in dict.fromkeys((*usual, *named)):
            # The engine's own stay usable where another plugin offers one of the same name.
            default = f"gancore/{name}" if name in usual else name
            rule = self.component("rule", named.get(name, {}), ("health", name), default=default)
            if rule is None or name in health.ignore:
                continue
            if other := rules.get(rule.offer.qualified_name):  # asked twice, it would be believed twice as fast
                at = rule.path if name in named else other.path
                self.complain(at, f'rule "{rule.name}" is asked already; give it one table', at_key=True)
            rules[rule.offer.qualified_name] = rule
        return health, list(rules.values())

    def plugins(self) -> dict[str, str]:
        table = self.table(("plugins",)) or {}
        for key, version in table.items():
            if not isinstance(version, str):
                self.complain(("plugins", key), "expected a version, as a string")
        return {key: version for key, version in table.items() if isinstance(version, str)}

    # ------------------------------------------------------------------------------------------------ one table

    def slot(self, kind: Kind, table: str, provided: frozenset[str]) -> Selection | None:
        """A table that selects exactly one component."""
        if table not in self.doc.tables:
            if table not in provided:
                self.complain((), f"missing table [{table}]")
            return None
        return self.component(kind, self.table((table,)), (table,))

    def component(
        self,
        kind: Kind,
        table: Mapping[str, Any] | None,
        path: Path,
        *,
        default: str | None = None,
        inherited: Iterable[str] = (),
    ) -> Selection | None:
        """A table with `name` and the options of that component.

        Args:
            default: the name if the table gives none.
            inherited: keys that really stand in the table above.
        """
        if table is None:
            if path[0] in self.doc.tables or default is None:
                return None  # already complained about
            table = {}
        at_name = (*(path[:-1] if "name" in inherited else path), "name")
        name = table.get("name", default)
        if not isinstance(name, str) or len(name) > LONGEST_NAME:
            expected = "a string" if not isinstance(name, str) else f"the name of a {kind}"
            message = f"expected {expected}, got {say(name)}" if "name" in table else f"missing name: which {kind}?"
            self.complain(at_name if "name" in table else path, message, at_key="name" not in table)
            return None
        try:
            offer = self.registry.find(kind, name)
            cls = offer.load()
        except ComponentError as error:
            self.complain(at_name if "name" in table else path, str(error), at_key="name" not in table)
            return None
        options = self.options(cls, {key: value for key, value in table.items() if key != "name"}, path, inherited)
        return None if options is None else Selection(path, offer, cls, options)

    def options(
        self, cls: type, table: Mapping[str, Any], path: Path, inherited: Iterable[str] = ()
    ) -> dict[str, Any] | None:
        options, complaints = structure(cls, table)
        for relative, message, at_key in complaints:
            base = path[:-1] if relative and str(relative[0]) in inherited else path
            self.complain((*base, *relative), message, at_key=at_key)
        if complaints:
            return None
        try:
            cls(**options)  # options that contradict each other are found here
        except (ValueError, TypeError) as error:
            self.complain(path, str(error), at_key=True)
            return None
        return options

    def companions(self, selection: Selection, chosen: list[Selection | None]) -> list[Selection]:
        """What the component brings along, unless the file has a table for it (which then counts) already."""
        try:
            companions: list[Companion] = list(getattr(selection.create(), "companions", ()))
        except Exception as error:  # a plugin's own code
            what = f"{selection.kind} {selection.name!r} of {selection.offer.plugin}"
            self.complain(selection.path, f"{what}: its companions: {type(error).__name__}: {error}", at_key=True)
            return []
        found = []
        for companion in companions:
            if any(other and (other.kind, other.name) == (companion.kind, companion.name) for other in chosen):
                continue
            table = {
                "name": companion.name,
                **{k: list(v) if isinstance(v, tuple) else v for k, v in companion.options.items()},
            }
            brought = self.component(companion.kind, table, selection.path)
            if brought is not None:
                found.append(attrs.evolve(brought, brought_by=selection.path))
        return found

    def table(self, path: Path) -> Mapping[str, Any] | None:
        """The table at `path`; None if there is none."""
        value: Any = self.doc.tables
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict):
            self.complain(path, f"expected a table: write [{show(path)}]", at_key=True)
            return None
        return value

    def complain(self, path: Path, message: str, *, at_key: bool = False) -> None:
        self.problems.append(self.doc.problem(path, message, at_key=at_key))
        if len(self.problems) == MOST:
            more = Problem(0, 0, "", f"has {MOST} problems or more; these are the first", self.doc.source)
            raise ExperimentError([more, *self.problems])


def _of_kind(kind: Kind, *groups: Iterable[Selection | None]) -> tuple[Selection, ...]:
    return tuple(selection for group in groups for selection in group if selection and selection.kind == kind)
