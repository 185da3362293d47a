"""What `gancore check` says about an experiment before its first step, and where that stands."""

from pathlib import Path
from typing import Any

import pytest

Gancore = Any

BATCH_NORM = "batch-norm-with-penalty: D mixes samples (batch norm), but r1 takes each sample's slope for its own. "
REMEDY = 'Set discriminator_norm = "none".'


def last(out: str) -> str:
    return out.splitlines()[-1]


def test_a_finding_stands_where_its_remedy_is_to_be_written(gancore: Gancore, tiny: Path) -> None:
    text = tiny.read_text().replace("hidden = [16]", 'hidden = [16]\ndiscriminator_norm = "batch"')
    tiny.write_text(text + '[[regularizer]]\nname = "r1"\n')
    line = tiny.read_text().splitlines().index('discriminator_norm = "batch"') + 1
    said = gancore("check", tiny)
    assert (said.code, said.err) == (0, "")
    assert last(said.out) == f"{tiny}:{line}:22: model.discriminator_norm: warn: {BATCH_NORM}{REMEDY}"


def test_an_option_with_its_default_is_found_by_its_table(gancore: Gancore, tiny: Path) -> None:
    """Adam's beta1 is 0.5 unless it is given."""
    sets = ("--set", "loss.name=wgan-gp", "--set", "health.momentum-with-wgan-gp.beta1=0.4")
    line = tiny.read_text().splitlines().index("[optimizer]") + 1
    lines = gancore("check", tiny, *sets).out.splitlines()[-2:]
    assert [text.partition(": warn: ")[0] for text in lines] == [f"{tiny}:{line}:2: optimizer"] * 2


def test_an_option_that_both_networks_share_is_found(gancore: Gancore, tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace('name = "adam"', 'name = "adam"\nbeta1 = 0.9'))
    line = tiny.read_text().splitlines().index("beta1 = 0.9") + 1
    lines = gancore("check", tiny, "--set", "loss.name=wgan-gp").out.splitlines()[-2:]
    assert [text.partition(": warn: ")[0] for text in lines] == [f"{tiny}:{line}:9: optimizer.beta1"] * 2


def test_a_value_of_the_command_line_has_no_place_in_the_file(gancore: Gancore, tiny: Path) -> None:
    said = gancore("check", tiny, "--set", "model.discriminator_norm=batch", "--set", 'regularizer=[{name="r1"}]')
    place = "--set model.discriminator_norm=batch: model.discriminator_norm"
    assert last(said.out) == f"{place}: warn: {BATCH_NORM}{REMEDY}"


def test_a_regularizer_is_found_by_its_name(gancore: Gancore, tiny: Path, install: Any) -> None:
    install("gancore-signs", signs=SIGNS)
    tiny.write_text(tiny.read_text() + '[[regularizer]]\nname = "r1"\n[[regularizer]]\nname = "signs"\n')
    line = len(tiny.read_text().splitlines())
    said = gancore("check", tiny, "--set", "loss.name=wasserstein")
    assert f"{tiny}:{line}:8: regularizer[1].name: warn: signs-without-boundary: " in said.out


def test_what_is_wrong_with_a_network_stands_at_its_table(gancore: Gancore, tiny: Path, install: Any) -> None:
    install("gancore-squeezed", squeezed=SQUEEZED)
    tiny.write_text(tiny.read_text().replace('"mlp"', '"squeezed"').replace("latent_dim = 8\nhidden = [16]\n", ""))
    line = tiny.read_text().splitlines().index("[model]") + 1
    out = gancore("check", tiny).out
    assert f"{tiny}:{line}:2: model: fatal: sigmoid-on-logits: D ends in a sigmoid" in out
    assert f"{tiny}:{line}:2: model: warn: output-range: G ends in ReLU" in out


def test_rules_that_are_ignored_are_not_asked(gancore: Gancore, tiny: Path) -> None:
    sets = ("--set", "model.discriminator_norm=batch", "--set", 'regularizer=[{name="r1"}]')
    ignore = ("--set", 'health.ignore=["batch-norm-with-penalty"]')
    assert "batch-norm" not in gancore("check", tiny, *sets, *ignore).out


def test_a_rule_of_a_plugin_that_fails_is_named(gancore: Gancore, tiny: Path, install: Any) -> None:
    install("gancore-broken-rule", broken_rule=BROKEN)
    said = gancore("check", tiny, "--set", "health.broken={}")
    assert said.code == 2
    assert said.err == (
        "rule 'broken' of gancore-broken-rule 1.0: lint() failed: ZeroDivisionError: division by zero\n"
    )


@pytest.mark.parametrize("example", ["digits", "digits-relativistic", "digits-conditional", "ring"])
def test_our_examples_are_clean(example: str, gancore: Gancore) -> None:
    said = gancore("check", Path(__file__).parents[2] / "examples" / f"{example}.toml")
    assert said.code == 0
    assert not [line for line in said.out.splitlines() if ".toml" in line]


SIGNS = """
from gancore import Component, component, hookimpl, option, On

@component
class Signs:
    on: On = option("discriminator", "Which.")
    sign_statistics = True

    def gradients_ready(self, parameters, context):
        return {}

@hookimpl
def gancore_regularizers():
    return [Component("signs", "signs:Signs", "Counts.")]
"""

SQUEEZED = """
from torch import nn
from gancore import Component, component, hookimpl

class D(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(n, 1), nn.Sigmoid())

    def forward(self, x, y=None):
        return self.layers(x)[:, 0]

class G(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.layers = nn.Sequential(nn.Linear(4, shape.numel()), nn.ReLU())

    def forward(self, z, y=None):
        return self.layers(z).view(-1, *self.shape)

@component
class Squeezed:
    latent_dim = 4

    def generator(self, data):
        import torch
        return G(torch.Size(data.shape))

    def discriminator(self, data):
        import math
        return D(math.prod(data.shape))

@hookimpl
def gancore_models():
    return [Component("squeezed", "squeezed:Squeezed", "Wrong ends.")]
"""

BROKEN = """
from gancore import Component, component, hookimpl

@component
class Broken:
    def lint(self, facts):
        return [1 / 0]

@hookimpl
def gancore_rules():
    return [Component("broken", "broken_rule:Broken", "Fails.")]
"""
