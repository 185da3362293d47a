"""Checkpoints: what goes in comes out, damage is found, and no crash loses what was good."""

import errno
import json
import math
import os
import pickletools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gancore
from gancore import RunFolderError, checkpoint


def same(a: Any, b: Any) -> bool:
    """Equality of type, structure and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and as_bytes(a) == as_bytes(b)
    if isinstance(a, dict):
        # Pairs in order: 1, 1.0 and True are one key to a dict, and not to us.
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return bool(a == b)


def as_bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def state_of(number: float) -> dict[str, Any]:
    return {"step": 7, "weights": {"w": torch.full((5,), number)}, "rng": torch.arange(9, dtype=torch.uint8)}


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


# -------------------------------------------------------------------------------------------------- round trip

BASE = torch.arange(12.0).reshape(3, 4)

FILES = ["experiment.toml", "manifest.json", "state.json", "tensors.safetensors"]

STATES: dict[str, Any] = {
    "nothing": {},
    "an optimizer's integer keys": {"state": {0: {"step": 3}, 1: {"step": 4}}},
    "keys that only differ in type": {"a": {1: "int", "1": "str"}, "b": {True: 1, None: 2, 0.5: 3}},
    "tuples and lists": {"betas": (0.5, 0.999), "list": [1, (2, [3, ()])], "none": []},
    "booleans, none and text": {"amsgrad": False, "maximize": True, "foreach": None, "text": "\u00e9\n\"'\x00"},
    "floats JSON has no word for": {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "zero": -0.0, "tiny": 5e-324},
    "big integers": {"seed": 2**64 + 1},
    "our own marks as keys": {"$tensor": 1, "a": {"$tuple": [1], "$items": {"$": 2}}},
    "0-d": {"step": torch.tensor(3.0)},
    "empty": {"none": torch.empty(0), "none2d": torch.empty(3, 0, 2)},
    "dtypes": {
        str(dtype): torch.tensor([0, 1, 2], dtype=dtype)
        for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool)
    },
    "nan and inf inside": {"x": torch.tensor([math.nan, math.inf, -math.inf, -0.0])},
    "not contiguous": {"t": BASE.t(), "column": BASE[:, 1], "expanded": torch.ones(1).expand(4)},
    "shared memory": {"a": BASE, "b": BASE, "row": BASE[1], "view": BASE.view(-1)},
    "colliding paths": {"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}, "a/b'": torch.full((1,), 2.0)},
    "colliding keys": {1: torch.zeros(1), "1": torch.ones(1)},
    "tensors in lists": {"groups": [torch.zeros(2), (torch.ones(1), [torch.ones(2)])]},
    "the key safetensors keeps for itself": {"__metadata__": torch.ones(2)},
    "a tensor under an empty key": {"": torch.ones(2), "x": {"": torch.zeros(1)}},
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_a_state_comes_back_bit_for_bit(state: dict[Any, Any], tmp_path: Path) -> None:
    assert same(checkpoint.load(checkpoint.save(tmp_path, 1, state)), state)


def test_parameters_come_back_as_tensors_without_history(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(2))
    loaded = checkpoint.load(checkpoint.save(tmp_path, 1, {"w": parameter, "y": parameter * 2}))
    assert same(loaded, {"w": torch.ones(2), "y": torch.full((2,), 2.0)})
    assert not loaded["y"].requires_grad


def test_a_real_optimizer_comes_back(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.0, 0.9))
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    assert same(checkpoint.load(checkpoint.save(tmp_path, 1, state)), state)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.text(max_size=3) | st.sampled_from(["$tensor", "$tuple", "$items"]) | st.integers(-3, 3)
tensors = st.sampled_from([torch.tensor(1.5), torch.empty(0), BASE.t(), torch.tensor([True, False])])
trees = st.recursive(
    scalars | tensors,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(keys, trees, max_size=4))
def test_any_tree_of_json_tuples_and_tensors_comes_back(tmp_path: Path, state: dict[Any, Any]) -> None:
    assert same(checkpoint.load(checkpoint.save(tmp_path, 1, state)), state)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"callback": {"ema": [1, object()]}}, "the state at callback/ema/1 holds a object"),
        ({"loss": {"seen": {1, 2}}}, "the state at loss/seen holds a set"),
        ({"f": len}, "the state at f holds a builtin_function_or_method"),
        ({"z": 1 + 2j}, "the state at z holds a complex"),
        ({"feed": {(1, 2): 3}}, "the state at feed has a"),
    ],
)
def test_objects_are_refused_by_place_and_type(state: dict[Any, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        checkpoint.save(tmp_path, 1, state)
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path, 1, state_of(1.0))
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for path in folder.iterdir():
        with pytest.raises(ValueError, match=r"pickle|opcode|at position"):
            list(pickletools.genops(path.read_bytes()))


def test_the_manifest_says_what_and_who(tmp_path: Path) -> None:
    manifest = json.loads((checkpoint.save(tmp_path, 12, state_of(1.0)) / "manifest.json").read_text())
    assert {key: manifest[key] for key in ("format", "step", "gancore")} == {
        "format": checkpoint.FORMAT,
        "step": 12,
        "gancore": gancore.__version__,
    }
    assert sorted([*manifest["files"], "manifest.json"]) == FILES
    assert (
        manifest["files"]["state.json"]["bytes"] == (tmp_path / "checkpoints/step-00000012/state.json").stat().st_size
    )
    assert manifest["torch"] == torch.__version__.partition("+")[0] or manifest["torch"] == torch.__version__


# ------------------------------------------------------------------------------------------------------ damage


def test_load_latest_takes_the_newest(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        checkpoint.save(tmp_path, step, state_of(float(step)))
    state, folder, damaged = checkpoint.load_latest(tmp_path)
    assert (folder.name, damaged) == ("step-00000010", {})
    assert same(state, state_of(10.0))


def test_steps_are_numbers_not_text(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000):
        checkpoint.save(tmp_path, step, state_of(1.0))
    assert [folder.name for folder in checkpoint.folders(tmp_path)] == ["step-99999999", "step-100000000"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "emptied", "swapped"])
def test_damage_is_found_and_the_checkpoint_before_it_taken(name: str, damage: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state_of(1.0))
    good = checkpoint.save(tmp_path, 2, state_of(2.0), experiment='name = "two"')
    bad = checkpoint.save(tmp_path, 3, state_of(3.0) | {"step": 8}, experiment='name = "three"')
    file = bad / name
    if damage == "missing":
        file.unlink()
    elif damage == "swapped":
        shutil.copyfile(good / name, file)
    else:
        file.write_bytes(file.read_bytes()[:-1] if damage == "truncated" and name != "manifest.json" else b"")
    with pytest.raises(RunFolderError, match=r"step-00000003: .*damaged"):
        checkpoint.load(bad)
    state, folder, damaged = checkpoint.load_latest(tmp_path)
    assert same(state, state_of(2.0))
    assert folder == good
    assert len(damaged) == 1
    assert damaged[bad].startswith(str(bad))


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "experiment.toml"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_is_found(name: str, data: st.DataObject, tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path, 1, state_of(1.0), experiment='name = "one"')
    flip(folder / name, data)
    with pytest.raises(RunFolderError, match=f"{name} is damaged"):
        checkpoint.load(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_bit_in_the_manifest_is_found(data: st.DataObject, tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path, 1, state_of(1.0))
    flip(folder / "manifest.json", data)
    with pytest.raises(RunFolderError):
        checkpoint.load(folder)


def flip(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)


def test_a_run_whose_checkpoints_are_all_damaged_says_so_of_each(tmp_path: Path) -> None:
    for step in (1, 2):
        (checkpoint.save(tmp_path, step, state_of(1.0)) / "state.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"has no usable checkpoint; .*step-00000002.*; .*step-00000001"):
        checkpoint.load_latest(tmp_path)


def test_a_folder_without_checkpoints_and_no_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"has no usable checkpoint$"):
        checkpoint.load_latest(tmp_path)
    with pytest.raises(RunFolderError, match="there is no such folder"):
        checkpoint.load_latest(tmp_path / "nowhere")


def test_an_unknown_format_names_the_gancore_that_wrote_it(tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path, 1, state_of(1.0))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99, "gancore": "9.9"}))
    with pytest.raises(RunFolderError) as caught:
        checkpoint.load(folder)
    assert str(caught.value) == (
        f"{folder}: has format 99, written by gancore 9.9; this is gancore {gancore.__version__}, which reads formats "
        f"up to {checkpoint.FORMAT}. To use it: pip install gancore==9.9"
    )


def test_a_checkpoint_of_format_1_still_loads_and_trains_on(tmp_path: Path) -> None:
    """Written by the gancore of 2026-11-20."""
    run_folder = tmp_path / "run"
    shutil.copytree(Path(__file__).parent / "checkpoints" / "format-1", run_folder)
    state, folder, damaged = checkpoint.load_latest(run_folder)
    assert (folder.name, damaged, checkpoint.verify(folder).format) == ("step-00000004", {}, 1)
    run = gancore.load(run_folder / "experiment.toml", ["train.steps=6"]).assemble(out=tmp_path / "on")
    assert run.load_state_dict(state) == []
    assert run.train() == "finished"
    assert run.step == 6
    assert checkpoint.verify(checkpoint.folders(tmp_path / "on")[-1]).format == checkpoint.FORMAT


def test_a_checkpoint_of_format_2_has_what_was_probed_and_trains_on(tmp_path: Path) -> None:
    """Written by the gancore of 2026-11-21, in the middle of an interval: with probes that nobody had looked at."""
    source = Path(__file__).parent / "checkpoints" / "format-2"
    run = gancore.load(source / "experiment.toml").assemble(out=tmp_path / "on")
    assert run.load_state_dict(checkpoint.load(source / "checkpoints" / "step-00000013")) == []
    assert run.checkup is not None
    probed = [{"step": v.step, "numbers": v.numbers, "layers": v.layers} for v in run.checkup.probe.fetched()]
    assert probed == json.loads((source / "probed.json").read_text())
    assert run.train() == "finished"
    assert run.step == 20
    early = gancore.load(source / "experiment.toml").assemble()
    assert early.load_state_dict(checkpoint.load(source / "checkpoints" / "step-00000002")) == []
    assert early.checkup is not None
    assert early.checkup.probe.fetch(3).numbers == {
        "penalty/discriminator": probed[0]["numbers"]["penalty/discriminator"]
    }


def test_a_checkpoint_of_format_3_has_the_numbers_of_its_interval_and_trains_on(tmp_path: Path) -> None:
    """Written by the gancore of 2026-11-26, which was made to sum up numbers four by four."""
    source = Path(__file__).parent / "checkpoints" / "format-3"
    state = checkpoint.load(source / "checkpoints" / "step-00000013")
    expected = json.loads((source / "numbers.json").read_text())
    run = gancore.load(source / "experiment.toml").assemble(out=tmp_path / "on")
    assert run.load_state_dict(state) == []
    assert run.numbers.fetch() == pytest.approx(expected, rel=1e-12)
    assert run.load_state_dict(state) == []
    assert run.train() == "finished"
    assert run.step == 20


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "tensors.safetensors/../../x", "extra"])
def test_a_manifest_cannot_name_other_files(name: str, tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path, 1, state_of(1.0))
    manifest = checkpoint.verify(folder)
    evil = attrs.evolve(manifest, files={**manifest.files, name: next(iter(manifest.files.values()))})
    (folder / "manifest.json").write_text(evil.text())
    with pytest.raises(RunFolderError, match="its manifest has other files"):
        checkpoint.load(folder)


# ------------------------------------------------------------------------------------- replacing, pruning, crashes


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 2, state_of(1.0))
    folder = checkpoint.save(tmp_path, 2, state_of(2.0))
    assert same(checkpoint.load(folder), state_of(2.0))
    assert names(tmp_path) == ["step-00000002"]


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        checkpoint.save(tmp_path, step, state_of(float(step)))
    checkpoint.prune(tmp_path, 2)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]
    checkpoint.prune(tmp_path, 2)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]


def test_what_interrupted_writers_left_behind_does_not_count_and_is_pruned(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state_of(1.0))
    shutil.copytree(tmp_path / "checkpoints" / "step-00000001", tmp_path / "checkpoints" / ".step-00000005.123.tmp")
    assert checkpoint.load_latest(tmp_path)[1].name == "step-00000001"
    checkpoint.prune(tmp_path, 1)
    assert names(tmp_path) == ["step-00000001"]


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state_of(1.0))
    for name in ("step-best", "notes", "step-00000001-copy"):
        (tmp_path / "checkpoints" / name).mkdir()
    checkpoint.prune(tmp_path, 1)
    assert names(tmp_path) == ["notes", "step-00000001", "step-00000001-copy", "step-best"]
    assert checkpoint.load_latest(tmp_path)[1].name == "step-00000001"


def test_a_full_disk_is_reported_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, 1, state_of(1.0))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for step in (1, 2):
            with pytest.raises(RunFolderError, match=f"the checkpoint of step {step} cannot be written: .*No space"):
                checkpoint.save(tmp_path, step, state_of(2.0))
    assert names(tmp_path) == ["step-00000001"]
    assert same(checkpoint.load_latest(tmp_path)[0], state_of(1.0))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError, match=r"cannot be written: .*Permission denied"):
        checkpoint.save(tmp_path, 1, state_of(1.0))


class Crash(BaseException):
    """The process dies here: nothing of ours may catch it."""


class Fuse:
    """An audit hook that crashes this process' n-th change of the file system under `root`."""

    CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")

    def __init__(self) -> None:
        self.root: str | None = None
        self.left = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root is None or event not in self.CHANGES:
            return
        # Inside a folder that rmtree has open, names are relative.
        if any(
            isinstance(a, str | os.PathLike) and str(a).startswith((self.root, "step-", "manifest")) for a in arguments
        ):
            self.left -= 1
            if self.left < 0:
                self.root = None  # a dead process does nothing more
                raise Crash


@pytest.fixture(scope="module")
def hook() -> Fuse:
    fuse = Fuse()
    sys.addaudithook(fuse)  # for good; asleep while it has no root
    return fuse


@pytest.fixture
def fuse(hook: Fuse) -> Iterator[Fuse]:
    yield hook
    hook.root = None


@pytest.mark.parametrize("again", [True, False], ids=["replacing a step", "a new step"])
def test_a_crash_at_any_moment_leaves_the_old_or_the_new_checkpoint_whole(
    again: bool, tmp_path: Path, fuse: Fuse
) -> None:
    crashes, found = 0, []
    while True:
        run = tmp_path / str(crashes)
        checkpoint.save(run, 4, state_of(1.0))
        fuse.root, fuse.left = str(run), crashes
        try:
            checkpoint.save(run, 4 if again else 5, state_of(2.0))
        except Crash:
            pass
        else:
            break
        finally:
            fuse.root = None
        crashes += 1
        state, _, damaged = checkpoint.load_latest(run)
        assert damaged == {}
        assert same(state, state_of(1.0)) or same(state, state_of(2.0))
        found.append(float(state["weights"]["w"][0]))
        checkpoint.save(run, 6, state_of(3.0))
        checkpoint.prune(run, 2)
        assert [name for name in names(run) if name.endswith("6")] == ["step-00000006"]
        assert not [name for name in names(run) if name.endswith(".tmp")]
        assert len(names(run)) == 2
    assert crashes >= 5
    assert found == sorted(found)  # first the old one, from some moment on the new one
    assert found[0] == 1.0


def test_a_damaged_checkpoint_that_is_set_aside_is_no_reason_to_prune_a_good_one(tmp_path: Path) -> None:
    for step in (30, 40):
        checkpoint.save(tmp_path, step, state_of(float(step)))
    (tmp_path / "checkpoints" / "step-00000040" / "state.json").write_text("{}")
    _, _, damaged = checkpoint.load_latest(tmp_path)
    for folder in damaged:
        assert checkpoint.set_aside(folder).name == "damaged-step-00000040-1"
    checkpoint.save(tmp_path, 32, state_of(32.0))
    checkpoint.prune(tmp_path, keep=1)
    assert [folder.name for folder in checkpoint.folders(tmp_path)] == ["step-00000032"]
    assert (tmp_path / "checkpoints" / "damaged-step-00000040-1").is_dir()
