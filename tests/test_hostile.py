"""What a damaged disk or a stranger may put into a run folder: it is refused in words, and nothing is executed."""

import ast
import hashlib
import io
import json
import os
import pickle
import random
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

import gancore
from gancore import checkpoint
from gancore.checkpoint.manifest import File
from gancore.errors import RunFolderError

ROOT = Path(__file__).parents[1]
FILES = ("tensors.safetensors", "state.json", "experiment.toml", "manifest.json")

EXPERIMENT = """
name = "small"
callback = []
[train]
steps = 12
batch_size = 8
device = "cpu"
[checkpoint]
every = 4
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 2
hidden = [4]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of the steps 4, 8 and 12. Not to be changed."""
    root = tmp_path_factory.mktemp("once")
    (root / "small.toml").write_text(EXPERIMENT)
    gancore.load(root / "small.toml").assemble(out=root / "run").train()
    return root / "run"


@pytest.fixture
def run(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once, tmp_path / "run"))


# ------------------------------------------------------------------------------------------------- damaged disks


def truncated(file: Path, rng: random.Random) -> str:
    size = rng.randrange(file.stat().st_size)
    os.truncate(file, size)
    return f"cut at {size}"


def flipped(file: Path, rng: random.Random) -> str:
    content = bytearray(file.read_bytes())
    places = [rng.randrange(len(content)) for _ in range(rng.choice([1, 1, 1, 8]))]
    for place in set(places):
        content[place] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return f"flipped at {places}"


def zeroed(file: Path, rng: random.Random) -> str:
    """A block that never reached the disk."""
    content = bytearray(file.read_bytes())
    begin = rng.randrange(len(content))
    end = min(len(content), begin + rng.choice([1, 512, 4096]))
    if not any(content[begin:end]):
        content[begin:end] = b"\x01" * (end - begin)
    else:
        content[begin:end] = bytes(end - begin)
    file.write_bytes(content)
    return f"zeroed {begin}:{end}"


def swapped(file: Path, rng: random.Random) -> str:
    """With the same file of another checkpoint, or another file of the same."""
    others = [
        other
        for other in (*file.parent.iterdir(), *file.parents[1].glob(f"*/{file.name}"))
        if other.read_bytes() != file.read_bytes()
    ]
    other = rng.choice(sorted(others))
    shutil.copyfile(other, file)
    return f"was {other.parent.name}/{other.name}"


def missing(file: Path, rng: random.Random) -> str:
    file.unlink()
    return "is missing"


def grown(file: Path, rng: random.Random) -> str:
    with file.open("ab") as stream:
        stream.write(rng.randbytes(rng.choice([1, 100])))
    return "has more"


def a_folder(file: Path, rng: random.Random) -> str:
    file.unlink()
    file.mkdir()
    return "is a folder"


DAMAGES = (truncated, flipped, zeroed, swapped, missing, grown, a_folder)


def damaged_and_found(once: Path, folder: Path, seed: int) -> str:
    """Damage the newest checkpoint of a copy; returns what was not noticed."""
    rng = random.Random(seed)
    newest = folder / "checkpoints" / "step-00000012"
    shutil.rmtree(newest)
    shutil.copytree(once / "checkpoints" / newest.name, newest)
    damage, file = rng.choice(DAMAGES), newest / rng.choice(FILES)
    what = f"seed {seed}: {file.name} {damage(file, rng)}"
    try:
        checkpoint.load(newest)
    except RunFolderError as error:
        if not str(error).startswith(f"{newest}: "):
            return f"{what}: {error}"
    else:
        return f"{what}: loads"
    state, used, passed_over = checkpoint.load_latest(folder)
    fell_back = (used.name, state["step"], list(passed_over)) == ("step-00000008", 8, [newest])
    return "" if fell_back else f"{what}: fell back to {used}"


@pytest.mark.parametrize("seeds", [range(300), pytest.param(range(300, 2300), marks=pytest.mark.slow)], ids=len)
def test_every_damaged_checkpoint_is_found_and_passed_over(seeds: range, once: Path, run: Path) -> None:
    assert [what for seed in seeds if (what := damaged_and_found(once, run, seed))] == []


# ------------------------------------------------------------------------------------------------------ strangers


class Canary:
    """What unpickles to a file that was written."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.write_text, (self.file, "I was executed")


def pickled(canary: Path) -> bytes:
    return pickle.dumps(Canary(canary))


def torch_saved(canary: Path) -> bytes:
    stream = io.BytesIO()
    torch.save({"weights": Canary(canary)}, stream)
    return stream.getvalue()


def old_torch_saved(canary: Path) -> bytes:
    stream = io.BytesIO()
    torch.save({"weights": Canary(canary)}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def zip_bomb(canary: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../canary", b"\0" * 50_000_000)
    return stream.getvalue()


def tar_of_a_path_outside(canary: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo(str(canary))
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    return stream.getvalue()


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BOMBS: dict[str, Callable[[Path], bytes]] = {
    "pickle": pickled,
    "torch.save": torch_saved,
    "old torch.save": old_torch_saved,
    "zip bomb": zip_bomb,
    "tar": tar_of_a_path_outside,
    "header is a pickle": lambda canary: safetensors(pickled(canary)),
    "header of 2^63 bytes": lambda canary: safetensors(b"{}", length=1 << 63),
    "header of 99 MB that is not there": lambda canary: safetensors(b"{}", length=99_000_000),
    "header nested 100,000 deep": lambda canary: safetensors(b'{"a":' + b"[" * 100_000),
    "absurd shape": lambda canary: safetensors(json.dumps({"x": tensor([1 << 40, 1 << 40], [0, 4])}).encode(), b"abcd"),
    "shape that overflows": lambda canary: safetensors(json.dumps({"x": tensor([1 << 63, 2], [0, 0])}).encode(), b""),
    "offsets outside": lambda canary: safetensors(json.dumps({"x": tensor([1000], [0, 4000])}).encode(), b"abcd"),
    "offsets that overlap": lambda canary: safetensors(
        json.dumps({"x": tensor([1], [0, 4]), "y": tensor([1], [2, 6])}).encode(), b"abcdef"
    ),
    "negative shape": lambda canary: safetensors(json.dumps({"x": tensor([-1], [0, 4])}).encode(), b"abcd"),
    "unknown type": lambda canary: safetensors(json.dumps({"x": tensor([1], [0, 4], "OBJECT")}).encode(), b"abcd"),
    "nothing": lambda canary: b"",
}


def forged(folder: Path, **contents: bytes) -> None:
    """Files of a checkpoint, with a manifest that vouches for them: a stranger can compute hashes, too."""
    manifest = checkpoint.verify(folder)
    files = dict(manifest.files)
    for name, content in contents.items():
        name = name.replace("_", ".")
        (folder / name).write_bytes(content)
        files[name] = File(hashlib.sha256(content).hexdigest(), len(content))
    (folder / "manifest.json").write_text(attrs.evolve(manifest, files=files).text())


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists(), "something was executed"


@pytest.mark.parametrize("name", ["tensors_safetensors", "state_json"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_as_a_checkpoint_is_refused(bomb: Callable[[Path], bytes], name: str, run: Path, canary: Path) -> None:
    newest = run / "checkpoints" / "step-00000012"
    forged(newest, **{name: bomb(canary)})
    checkpoint.verify(newest)  # the hashes are right
    with pytest.raises(RunFolderError, match="is damaged"):
        checkpoint.load(newest)
    assert checkpoint.load_latest(run)[1].name == "step-00000008"


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_as_a_manifest_is_refused(bomb: Callable[[Path], bytes], run: Path, canary: Path) -> None:
    newest = run / "checkpoints" / "step-00000012"
    (newest / "manifest.json").write_bytes(bomb(canary))
    with pytest.raises(RunFolderError, match="is damaged"):
        checkpoint.load(newest)


@pytest.mark.parametrize("bomb", [pickled, torch_saved, zip_bomb], ids=lambda bomb: bomb.__name__)
def test_a_bomb_as_a_capsule_is_refused(
    bomb: Callable[[Path], bytes], run: Path, canary: Path, command: Callable[..., Any]
) -> None:
    capsule = run / "checkpoints" / "step-00000012"
    forged(capsule, tensors_safetensors=bomb(canary))
    single = run / "capsule.pt"
    single.write_bytes(bomb(canary))
    for path in (capsule, single):
        done = command("replay", path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
        assert "is damaged" in done.stderr


STATES: dict[str, Any] = {
    "a list": [],
    "a number": 3,
    "nested": {"step": 4, "ema": json.loads("[" * 400 + "]" * 400)},
    "a tensor that is not there": {"ema": {"$tensor": "nowhere"}},
    "a tensor named by a list": {"ema": {"$tensor": [1]}},
    "a tuple of nothing": {"ema": {"$tuple": None}},
    "items that are no pairs": {"$items": [[1, 2, 3]]},
    "items under a list": {"$items": [[[1], 2]]},
    "no data": {"ema": {}},
    "absurd data": {"ema": {}, "data": {"shape": [1 << 40, 1 << 40, 3], "classes": 0, "range": None}},
    "negative data": {"ema": {}, "data": {"shape": [-1], "classes": -5, "range": [1]}},
    "no table as data": {"ema": {}, "data": "x"},
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
@pytest.mark.parametrize("words", [("sample",), ("resume", "--set", "train.steps=20")], ids=lambda words: words[0])
def test_a_forged_state_ends_in_words(
    state: Any, words: tuple[str, ...], run: Path, called: Callable[..., tuple[int, str]]
) -> None:
    for name in ("step-00000004", "step-00000008"):
        shutil.rmtree(run / "checkpoints" / name)
    forged(run / "checkpoints" / "step-00000012", state_json=json.dumps(state).encode())
    code, err = called(words[0], run, *words[1:])
    assert code == 2
    assert str(run) in err
    assert len(err) < 1000


@pytest.mark.parametrize(
    ("option", "value"),
    [("hidden", "[4, 1000000000]"), ("hidden", "[100000, 100000]"), ("latent_dim", "1000000000000")],
)
def test_an_absurd_network_takes_no_memory(option: str, value: str, run: Path, command: Callable[..., Any]) -> None:
    """A run folder whose experiment.toml asks for more than its checkpoint has."""
    file = run / "experiment.toml"
    lines = [f"{option} = {value}" if line.startswith(f"{option} =") else line for line in file.read_text().split("\n")]
    file.write_text("\n".join(lines))
    done = command("sample", run)
    assert done.returncode == 2, done.stderr
    assert "is not the one of experiment.toml" in done.stderr
    assert "Traceback" not in done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 4 << 20, "KiB"


def test_a_state_of_too_many_bytes_is_not_read(run: Path) -> None:
    newest = run / "checkpoints" / "step-00000012"
    with (newest / "state.json").open("wb") as stream:
        stream.truncate((1 << 28) + 1)  # takes no space on the disk
    with (newest / "state.json").open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    manifest = checkpoint.described(newest)
    files = {**manifest.files, "state.json": File(digest, (1 << 28) + 1)}
    (newest / "manifest.json").write_text(attrs.evolve(manifest, files=files).text())
    with pytest.raises(RunFolderError, match=r"state\.json has 268,435,457 bytes, too many to be read here"):
        checkpoint.load(newest)


def test_no_line_of_ours_unpickles_evaluates_or_executes() -> None:
    """cifar10 leaves its pickles to torchvision, which opens them only if their hash is the original's."""
    suspicious = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    calls = {"eval", "exec", "compile", "__import__"}
    found = []
    for file in (*(ROOT / "gancore").rglob("*.py"), *ROOT.glob("plugins/*/src/**/*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                found += [f"{file.name}:{node.lineno} imports {name}" for name in names if name in suspicious]
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                loads = called in ("torch.load", "np.load", "numpy.load")
                safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                if called in calls or (loads and not safe):
                    found.append(f"{file.name}:{node.lineno} calls {called}")
    assert found == []


@pytest.fixture
def command() -> Callable[..., Any]:
    """Run the command line as a process."""

    def call(*words: str | Path) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        line = [sys.executable, "-m", "gancore", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, env=environment)

    return call


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The command line, in this process: exit code and standard error."""
    from gancore.cli import main

    def call(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gancore", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capfd.readouterr().err

    return call
