"""Memory that runs out: one line with numbers and what to change, where a run stood, and a folder to go on from."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from gancore import checkpoint
from gancore.errors import RunFailed
from gancore.training.compiled import phase_by_inductor
from gancore.training.memory import shortage

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
TOO_MUCH = 1 << 50  # float32: 4 PiB, more than any machine can address
# As torch says it.
ON_CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 139.72 GiB of which 3.02 GiB is "
    "free. Including non-PyTorch memory, this process has 136.69 GiB memory in use. Of the allocated memory 136.00 GiB "
    "is allocated by PyTorch, and 25.32 MiB is reserved by PyTorch but unallocated."
)


def refused(device: torch.device) -> RuntimeError:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(TOO_MUCH, device=device)
    return raised.value


def changes(said: str | None) -> list[str]:
    assert said is not None
    assert "\n" not in said
    return said.partition("Change one of these: ")[2].split("; ")


def test_of_main_memory_it_says_how_much_was_asked_for() -> None:
    assert shortage(refused(CPU), CPU, 64, "fp32") == (
        "out of memory on main memory: 4194304.00 GiB asked for in one piece. Change one of these: "
        "train.batch_size = 32 (it is 64); a smaller width or fewer layers in [model]; smaller pictures ([data] size)"
    )


def test_of_a_gpu_it_says_how_much_was_asked_for_and_proposes_half_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert shortage(torch.OutOfMemoryError(ON_CUDA), CUDA, 64, "fp32") == (
        "out of memory on cuda: 20.00 GiB asked for. Change one of these: train.batch_size = 32 (it is 64); "
        'train.precision = "bf16"; a smaller width or fewer layers in [model]'
    )


@pytest.mark.parametrize(("device", "precision"), [(CPU, "fp32"), (CPU, "bf16"), (CUDA, "tf32"), (CUDA, "bf16")])
def test_three_things_to_change_none_of_which_is_so_already(device: torch.device, precision: str) -> None:
    proposed = changes(shortage(torch.OutOfMemoryError(ON_CUDA), device, 64, precision))
    assert len(proposed) == 3
    assert ('train.precision = "bf16"' in proposed) == (device == CUDA and precision == "tf32")


def test_a_batch_of_one_is_not_proposed_to_be_one() -> None:
    assert not any(change.startswith("train.batch_size") for change in changes(shortage(refused(CPU), CPU, 1, "fp32")))


def test_pythons_own_memory_is_main_memory() -> None:
    said = shortage(MemoryError(), CUDA, 2, "bf16")
    assert (said or "").startswith(
        "out of memory on main memory. Change one of these: train.batch_size = 1 (it is 2); "
    )


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_a_compiled_phase_asks_for_memory_in_other_words() -> None:
    """Which do not tell how much."""

    def wide(x: Tensor) -> list[Tensor]:
        return [(x[:, None].expand(-1, TOO_MUCH // 64) * 2).relu()]

    x = torch.randn(64)
    call = phase_by_inductor(make_fx(wide, tracing_mode="fake")(x), [x])
    with pytest.raises(RuntimeError) as raised:
        call(x)
    said = shortage(raised.value, CPU, 64, "fp32") or ""
    assert said.startswith("out of memory on main memory")
    assert (
        shortage(RuntimeError("aoti_torch_cpu_mm_out(a, b) API call failed at x.cpp, line 3"), CPU, 64, "fp32") is None
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x3 and 2x1)"),
        RuntimeError("out of memory"),
        ValueError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ],
    ids=str,
)
def test_other_errors_are_none_of_its_business(error: Exception) -> None:
    assert shortage(error, CUDA, 64, "fp32") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_of_a_real_gpu_it_says_what_is_free_and_what_is_held() -> None:
    said = shortage(refused(CUDA), CUDA, 64, "fp32")
    assert said is not None
    number = r"\d+\.\d\d GiB"
    assert re.match(
        rf"out of memory on cuda: {number} asked for, {number} of {number} free, {number} held by this run\. Change",
        said,
    )
    assert len(changes(said)) == 3


# ----------------------------------------------------------------------------------------------------- a whole run

RUN = """
[train]
steps = 12
batch_size = 8
device = "cpu"
[log]
every = 2
[checkpoint]
every = 4
[data]
name = "digits"
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[[callback]]
name = "stats"
"""
SIZE = 64


class Greedy(torch.nn.Module):
    """A generator that is asked for more than it can do in its 12th forward: step 6, D's phase and G's each."""

    latent_dim = 2

    def __init__(self, fail: Any) -> None:
        super().__init__()
        self.layer, self.calls, self.fail = torch.nn.Linear(2, SIZE), 0, fail

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        self.calls += 1
        if self.calls == 12:
            self.fail()
        return self.layer(z).view(-1, 1, 8, 8).tanh()


MODEL = '[model]\nname = "mlp"\nhidden = [8]\n'


def failing(assemble: Any, out: Path, fail: Any) -> Any:
    return assemble(RUN + MODEL + "[health]\nprobe = false\n", generator=Greedy(fail), out=out)


def test_a_run_that_needs_too_much_says_in_which_step_and_what(assemble: Any, tmp_path: Path) -> None:
    run = failing(assemble, tmp_path / "run", lambda: torch.empty(TOO_MUCH))
    with pytest.raises(
        RunFailed, match=r"^step 6: out of memory on main memory: 4194304\.00 GiB .*batch_size = 4 \(it"
    ):
        run.train()
    assert checkpoint.load_latest(tmp_path / "run")[0]["step"] == 4
    assert not run.intact


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), KeyError("out of memory")])
def test_a_run_leaves_other_errors_as_they_are(error: Exception, assemble: Any, tmp_path: Path) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        failing(assemble, tmp_path / "run", fail).train()
    assert raised.value is error


PLUGIN = """
import torch
from gancore import Component, component, hookimpl, option

class Network(torch.nn.Module):
    def __init__(self, greedy, inputs, outputs):
        super().__init__()
        self.layer, self.calls, self.greedy = torch.nn.Linear(inputs, outputs), 0, greedy
    def forward(self, x, y=None):
        self.calls += 1
        if self.greedy and self.calls > 60:
            torch.empty(1 << 50)
        out = self.layer(x.flatten(1))
        return out.view(-1, 1, 8, 8).tanh() if self.greedy else out.squeeze(1)

@component
class Greedy:
    latent_dim: int = option(2, "Numbers in a latent z.")
    mixes_samples: bool = False
    def generator(self, data):
        return Network(True, 2, 64)
    def discriminator(self, data):
        return Network(False, 64, 1)

@hookimpl
def gancore_models():
    return [Component("greedy", "greedy:Greedy", "Asks for 4 PiB in its 61st forward.")]
"""


def process(folder: Path, site: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(site), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "gancore", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_command_line_says_it_in_one_line_and_the_folder_is_one_to_go_on_from(
    tmp_path: Path, install: Any, fake_site: Path
) -> None:
    install("gancore-greedy", greedy=PLUGIN)
    (tmp_path / "x.toml").write_text(RUN + '[model]\nname = "greedy"\n')
    done = process(tmp_path, fake_site, "train", "x.toml", "--out", "run", "--set", "train.steps=100")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(r"step \d+: out of memory on main memory: 4194304\.00 GiB asked for in one piece\. Change", last)
    assert len(changes(last)) == 3
    assert "Traceback" not in done.stderr
    state, _, damaged = checkpoint.load_latest(tmp_path / "run")
    assert damaged == {}
    again = process(tmp_path, fake_site, "resume", "run", "--set", f"train.steps={state['step'] + 2}")
    assert again.returncode == 0, again.stderr


def test_networks_too_large_to_be_built_are_said_to_be_as_well(tmp_path: Path, fake_site: Path) -> None:
    (tmp_path / "x.toml").write_text(RUN + '[model]\nname = "mlp"\nhidden = [10_000_000, 10_000_000]\n')
    done = process(tmp_path, fake_site, "train", "x.toml", "--out", "run")
    assert done.returncode in (1, 2)
    assert "out of memory on main memory: 372529.03 GiB asked for in one piece. Change one of these: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "an error in gancore or a plugin" not in done.stderr
    assert not (tmp_path / "run").exists()
