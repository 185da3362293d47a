"""`gancore plugins`, `list` and `show`: what is installed and how it is used."""

import json
from typing import Any

import pytest

from gancore.components import KINDS, options_of
from gancore.registry import Offer, Registry

Gancore = Any

OFFERS = Registry.discover().offers
BROKEN = {"broken": "raise RuntimeError('no luck')"}


def test_list_shows_every_component_under_its_kind(gancore: Gancore) -> None:
    said = gancore("list")
    assert (said.code, said.err) == (0, "")
    kind, listed = "", []
    for line in said.out.splitlines():
        if not line.startswith(" "):
            kind = line
        else:
            listed.append((kind, line.split()[0], line.rpartition("[")[2].rstrip("]")))
    assert sorted(listed) == sorted((offer.kind, offer.name, offer.plugin.distribution) for offer in OFFERS)


def test_list_of_a_kind_shows_only_that(gancore: Gancore) -> None:
    said = gancore("list", "dataset")
    lines = said.out.splitlines()
    assert lines[0] == "dataset"
    assert "  digits               1,797 grey digits, 8x8; no download.  [gancore-digits]" in lines
    assert len(lines) == 1 + len([offer for offer in OFFERS if offer.kind == "dataset"])


def test_list_of_a_kind_that_is_none_says_which_there_are(gancore: Gancore) -> None:
    said = gancore("list", "losses")
    assert said.code == 2
    assert all(f"'{kind}'" in said.err for kind in KINDS)


def test_list_for_scripts(gancore: Gancore) -> None:
    records = json.loads(gancore("list", "model", "--json").out)
    assert {record["kind"] for record in records} == {"model"}
    assert {
        "kind": "model",
        "name": "mlp",
        "summary": next(offer.component.summary for offer in OFFERS if offer.name == "mlp"),
        "distribution": "gancore-mlp",
        "version": "0.1.0",
    } in records


def test_plugins_shows_what_each_brings(gancore: Gancore) -> None:
    said = gancore("plugins")
    assert (said.code, said.err) == (0, "")
    assert "gancore-losses 0.1.0\n  loss         minimax, " in said.out
    assert "gancore 0.1.0\n  callback     health, progress, tensorboard, stats, samples, checkpoint\n" in said.out
    assert "gancore 0.1.0\n  rule         loss-saturated, critic-flat, " in said.out


def test_plugins_for_scripts(gancore: Gancore) -> None:
    records = {record["distribution"]: record for record in json.loads(gancore("plugins", "--json").out)}
    assert records["gancore-digits"] == {
        "distribution": "gancore-digits",
        "version": "0.1.0",
        "entry_point": "digits",
        "components": ["dataset digits"],
        "broken": [],
    }


def test_a_broken_plugin_is_shown_with_its_reason_and_harms_no_other(gancore: Gancore, install: Any) -> None:
    install("gancore-broken", version="3.1", **BROKEN)
    assert "gancore-broken 3.1\n  broken (import): RuntimeError: no luck\n" in gancore("plugins").out
    (record,) = [r for r in json.loads(gancore("plugins", "--json").out) if r["distribution"] == "gancore-broken"]
    assert record["broken"] == [{"stage": "import", "error": "RuntimeError: no luck"}]
    said = gancore("list", "loss")
    assert (said.code, said.err) == (0, "gancore-broken 3.1 is broken (import): RuntimeError: no luck\n")
    assert "  hinge " in said.out


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.kind} {offer.name}")
def test_show_explains_every_component_and_all_its_options(offer: Offer, gancore: Gancore) -> None:
    said = gancore("show", offer.kind, offer.name)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{offer.name}  {offer.kind} of {offer.plugin}  ({offer.component.target})\n\n")
    options = [field.name for field in options_of(offer.load())]
    _, _, shown = said.out.rpartition("\noptions\n")
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  ") and line[2] != " "] == options
    assert options or said.out.endswith("\nno options\n")


def test_show_prints_options_with_type_default_and_meaning(gancore: Gancore) -> None:
    out = gancore("show", "regularizer", "r1").out
    assert "\n  gamma  number, default 10.0\n      gamma: weight; " in out


def test_show_takes_the_qualified_name(gancore: Gancore) -> None:
    assert gancore("show", "loss", "gancore-losses/hinge").out == gancore("show", "loss", "hinge").out


def test_show_of_what_is_not_installed_says_what_is(gancore: Gancore) -> None:
    said = gancore("show", "loss", "hnge")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith('no loss "hnge" is installed; did you mean "hinge"?; installed: hinge, lsgan, ')
