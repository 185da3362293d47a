"""What is wrong with an experiment before its first step, and where that stands in its file."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from gancore.assemble.blueprint import Blueprint
    from gancore.contracts import Finding, Role
    from gancore.errors import Problem
    from gancore.experiment import Experiment
    from gancore.experiment.document import Document
    from gancore.experiment.path import Path as Place


def lint(
    experiment: "Experiment",
    blueprint: "Blueprint | None" = None,
    networks: "Mapping[Role, nn.Module] | None" = None,
) -> "list[Finding]":
    """The findings of all rules that judge an experiment by itself. Builds the networks without memory.

    Args:
        blueprint, networks: if they have been made already.

    Raises:
        UserError: the networks cannot be built, or a rule fails.
    """
    from gancore.assemble import Objects, blueprint_of
    from gancore.assemble.facts import facts_of
    from gancore.contracts import Lints
    from gancore.errors import ComponentError

    if blueprint is None or networks is None:
        assert experiment.data is not None
        blueprint = blueprint_of(experiment, experiment.data.create().spec(), Objects())
        networks = blueprint.verify(experiment.train.batch_size)
    facts = facts_of(experiment, blueprint, networks, experiment.train.steps or 0)
    found: list[Finding] = []
    for selection in experiment.rules:
        rule = selection.create()
        if isinstance(rule, Lints):
            try:
                found += rule.lint(facts)
            except Exception as error:  # a plugin's own code
                who = f"rule {selection.name!r} of {selection.offer.plugin}"
                raise ComponentError(f"{who}: lint() failed: {type(error).__name__}: {error}") from error
    return found


def located(
    findings: "Iterable[Finding]", experiment: "Experiment", overrides: Iterable[str] = ()
) -> "list[tuple[Finding, Problem]]":
    """Each with the place in the experiment's file, as far as there is one."""
    from gancore.errors import Problem
    from gancore.experiment import document

    doc = document.load(Path(experiment.source), overrides)
    found = []
    for finding in findings:
        words = f"{finding.severity}: {finding.code}: {finding.cause} {finding.remedy}".rstrip()
        place = next(_places(doc, experiment, finding), None)
        problem = Problem(0, 0, "", words, doc.source) if place is None else doc.problem(place, words)
        found.append((finding, problem))
    return found


def _places(doc: "Document", experiment: "Experiment", finding: "Finding") -> "Iterator[Place]":
    """Where it may stand, the most exact first: what is to be changed, who is named, whose network it is."""
    for change in finding.changes:
        path = _path(doc.tables, change.path)
        if path is not None:
            yield path
    for words in (finding.where, finding.cause):
        named = words.replace(",", " ").split()
        for selection in experiment.selections:
            if selection.kind != "rule" and selection.name in named and not selection.brought_by:
                at = (*selection.path, "name")
                yield at if _is_there(doc.tables, at) else selection.path[:1]
    role = finding.where.partition(" ")[0]
    for table in (role, "model"):
        if role in ("generator", "discriminator") and table in doc.tables:
            yield (table,)


def _path(tables: Mapping[str, Any], change: tuple[str, ...]) -> "Place | None":
    """The key of a change as a path in the file, or the longest part of it that is there."""
    from gancore.experiment.fix import ARRAYS

    path: Place = change
    if change[0] in ARRAYS:
        names = [str(table.get("name", "")).rpartition("/")[2] for table in tables.get(change[0], [])]
        if len(change) < 2 or change[1] not in names:
            return None  # it is to be added
        path = (change[0], names.index(change[1]), *change[2:])
    elif change[0] == "optimizer" and len(change) == 3 and not _is_there(tables, change):
        path = (change[0], change[2])  # both networks share it
    while path and not _is_there(tables, path):
        path = path[:-1]
    return path or None


def _is_there(tables: Any, path: "Place") -> bool:
    try:
        for part in path:
            tables = tables[part]
    except (KeyError, IndexError, TypeError):
        return False
    return True
