"""`gancore check`: the plan of an experiment, without touching anything."""

from pathlib import Path
from typing import Any

Gancore = Any


def test_the_plan_names_components_counts_parameters_and_says_what_a_step_is(gancore: Gancore, tiny: Path) -> None:
    """G: 8·16+16 + 16·64+64 = 1,232. D: 64·16+16 + 16+1 = 1,057."""
    said = gancore("check", tiny)
    assert (said.code, said.err) == (0, "")
    assert (
        said.out
        == """\
tiny  1×8×8, 10 classes

data         digits         gancore-digits 0.1.0
model        mlp            gancore-mlp 0.1.0
    latent_dim=8, hidden=(16,)
loss         nonsaturating  gancore-losses 0.1.0
optimizer    adam           gancore-optimizers 0.1.0
callback[0]  progress       gancore 0.1.0
callback[1]  tensorboard    gancore 0.1.0
callback[2]  stats          gancore 0.1.0
callback[3]  samples        gancore 0.1.0
callback[4]  health         gancore 0.1.0
checkpoint   checkpoint     gancore 0.1.0
    every=4
health       20 rules       gancore 0.1.0

discriminator         1,057 parameters
generator             1,232 parameters

6 steps, batch 16, seed 0, cpu, fp32; in each step:
1 × discriminator  nonsaturating loss → adam
1 × generator      nonsaturating loss → adam
"""
    )


def test_overrides_count(gancore: Gancore, tiny: Path) -> None:
    """G: 8·3+3 + 3·64+64 = 283. D: 64·3+3 + 3+1 = 199."""
    out = gancore("check", tiny, "--set", "model.hidden=[3]", "--set", "train.n_critic=5").out
    assert "discriminator           199 parameters\ngenerator               283 parameters\n" in out
    assert "5 × discriminator  nonsaturating loss → adam\n1 × generator " in out


def test_the_phases_show_regularizers_where_and_in_the_order_they_act(gancore: Gancore, tiny: Path) -> None:
    names = ("instance-noise", "r1", "diffaugment", "gradient-clipping", "weight-clipping")
    tiny.write_text(tiny.read_text() + "".join(f'[[regularizer]]\nname = "{name}"\n' for name in names))
    out = gancore("check", tiny, "--set", "regularizer.1.every=16").out
    assert out.splitlines()[-2:] == [
        "1 × discriminator  instance-noise → diffaugment → nonsaturating loss + r1 penalty every 16 "
        "→ gradient-clipping → adam → weight-clipping",
        "1 × generator      instance-noise → diffaugment → nonsaturating loss → gradient-clipping → adam",
    ]


def test_a_companion_is_shown_with_who_brings_it(gancore: Gancore, tiny: Path) -> None:
    out = gancore("check", tiny, "--set", "loss.name=wgan-gp").out
    assert "(by loss)    wgan-gp      gancore-penalties 0.1.0\n    weight=10.0\n" in out
    assert "1 × discriminator  wgan-gp loss + wgan-gp penalty → adam\n" in out


def test_epochs_are_a_length(gancore: Gancore, tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("steps = 6", "epochs = 2.5"))
    assert "\n2.5 epochs, batch 16, seed 0, cpu, fp32; in each step:\n" in gancore("check", tiny).out


def test_it_needs_no_data_and_no_gpu_and_leaves_nothing(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    data = 'data={name="mnist", root="nowhere", download=false}'
    said = gancore("check", tiny, "--set", data, "--set", "train.device=cuda")
    assert (said.code, said.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_mistake_exits_with_2_and_all_problems(gancore: Gancore, tiny: Path) -> None:
    said = gancore("check", tiny, "--set", "loss.name=hing", "--set", "train.seed=-1")
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 2
    assert '--set loss.name=hing: loss.name: no loss "hing" is installed; did you mean "hinge"?' in said.err
    assert "--set train.seed=-1: train.seed: " in said.err
