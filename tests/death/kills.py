"""Runs that are killed again and again end with the bits of a run that was left alone.

python -m tests.death.kills --kills 200 --seed 0        prints a table; exits 1 if a run differs, and keeps it

Killed is by SIGKILL, which nothing can prepare for: at a random instant, or at a random one of the moments at which
files change (a file is opened or half written, renamed, synced, deleted), as often as not inside a checkpoint.
"""

import argparse
import contextlib
import importlib
import json
import logging
import multiprocessing
import os
import random
import re
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from attrs import define, field, frozen

STEPS = 24
MOST = 6  # kills of one run
PATIENCE = 120  # seconds until a process counts as hung

COMMON = f"""
[train]
steps = {STEPS}
batch_size = 8
device = "cpu"
ema = 100
OPTIONS
[log]
every = 4
[health]
every = 5
warm_up = 0
[checkpoint]
every = 3
keep = 2
[[callback]]
name = "progress"
[[callback]]
name = "tensorboard"
every = 8
[[callback]]
name = "stats"
[[callback]]
name = "samples"
every = 5
n = 4
[[callback]]
name = "health"
"""

# What has state: lazy penalties, moments, schedules, power iterations, augmentation, clipping histories, noise that
# fades, labels, EMA and its ramp, held-out reals, a streamed and shuffled order, samples that were skipped.
DIGITS = """
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 8
hidden = [16]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[[regularizer]]
name = "r1"
every = 4
"""
PICTURES = """
[data]
name = "image-folder"
root = "pictures"
size = 16
resident = true
[model]
name = "dcgan"
latent_dim = 8
width = 4
[loss]
name = "hinge"
[optimizer]
name = "adam"
lr_schedule = "cosine"
warmup = 5
[[regularizer]]
name = "spectral-norm"
[[regularizer]]
name = "diffaugment"
"""
CRITIC = """
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 8
hidden = [16]
conditional = true
[loss]
name = "wgan-gp"
[optimizer]
name = "adamw"
[[regularizer]]
name = "gradient-clipping"
on = "generator"
limit = 0.1
[[regularizer]]
name = "autoclip"
on = "discriminator"
"""
RING = """
[data]
name = "ring"
samples = 200
[model]
name = "mlp"
latent_dim = 2
hidden = [16]
[loss]
name = "relativistic"
[optimizer]
name = "rmsprop"
[[regularizer]]
name = "weight-clipping"
limit = 0.1
[[regularizer]]
name = "instance-noise"
[[metric]]
name = "mode-coverage"
every = 6
samples = 50
"""
STREAMED = PICTURES.replace("resident = true", "labels = true").replace("cosine", "linear")

EXPERIMENTS = {
    "digits, lazy r1": COMMON.replace("OPTIONS", "held_out = 16") + DIGITS,
    "pictures, spectral norm, diffaugment": COMMON.replace("OPTIONS", "") + PICTURES,
    "wgan-gp, n_critic 3, clipping": COMMON.replace("OPTIONS", "n_critic = 3") + CRITIC,
    "ring, relativistic, weight clipping": COMMON.replace("OPTIONS", "ema_ramp = 0.5") + RING,
    "streamed pictures, one worker": COMMON.replace("OPTIONS", 'workers = 1\ndamaged = "skip"') + STREAMED,
}

# ------------------------------------------------------------------------------------------------------- processes


def start(arguments: Iterable[str | Path], folder: Path, log: Path, first: Callable[[], object] = int) -> int:
    """Fork a child that calls `gancore <arguments>` in `folder`, after `first()`; its words are added to `log`.

    A fork of a process that has imported torch begins within milliseconds; `python -m gancore` takes seconds.

    Returns:
        its process id.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, where there are other threads
        pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(words, 1)
        os.dup2(words, 2)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        os.chdir(folder)
        code = _gancore(arguments, first)
    finally:
        os._exit(code)  # whatever happened: the rest of the parent's program is not the child's


def _gancore(arguments: Iterable[str | Path], first: Callable[[], object]) -> int:
    import torch

    from gancore.cli import main

    torch.set_num_threads(1)  # the parent's pool of threads does not survive a fork
    threading.excepthook, sys.unraisablehook = threading.__excepthook__, sys.__unraisablehook__  # not pytest's
    warnings.resetwarnings()
    sys.argv = ["gancore", *map(str, arguments)]
    first()
    try:
        main()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    finally:
        for worker in multiprocessing.active_children():
            worker.terminate()
        sys.stderr.flush()
    return 0


def ended(pid: int, seconds: float) -> int | None:
    """The exit code (negative: the signal) of a child that ends within `seconds`, else None."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            return None
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -------------------------------------------------------------------------------------------------------- moments

Kind = Literal["checkpoint", "other"]
VARYING = (".lock",)  # files whose content is who the process is
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link")


@define
class Moments:
    """Counts, in a child, the moments at which files below `folder` change, and may end the process at one of them.

    Attributes:
        kind: those inside `checkpoints/`, or all others.
        last: the moment (from 1 on) of that kind to die at; 0: live.
        log: gets a line for every moment.
        halves: leave a half-written file behind, where one is being written.
    """

    folder: Path
    log: Path
    kind: Kind = "other"
    last: int = 0
    halves: bool = False
    seen: int = field(default=0, init=False)
    _open: int = field(default=-1, init=False)

    def watch(self) -> None:
        self._open = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.fsync = self._before(os.fsync, "fsync")  # type: ignore[assignment]
        for name in ("write_text", "write_bytes"):
            setattr(Path, name, self._halving(getattr(Path, name), lambda path, *_: path))
        import safetensors.torch

        original = safetensors.torch.save_file
        halving = self._halving(original, lambda _, path, *__: path)
        for module in [module for name, module in sys.modules.items() if name.startswith(("gancore", "safetensors"))]:
            if getattr(module, "save_file", None) is original:
                module.save_file = halving  # type: ignore[attr-defined]
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and (flags & (os.O_WRONLY | os.O_RDWR)):
                self._moment(f"open {mode or ''}", os.fsdecode(path))
        elif event in CHANGES:
            path, descriptor = os.fsdecode(arguments[0]), arguments[-1]
            # Deleting a tree names its files by the descriptor of their folder.
            base = os.readlink(f"/proc/self/fd/{descriptor}") if descriptor >= 0 else ""
            self._moment(event, os.path.join(base, path))

    def _moment(self, what: str, path: str, torn: Callable[[], object] | None = None) -> None:
        try:
            inside = Path(os.path.abspath(path)).relative_to(self.folder)
        except ValueError:
            return
        kind: Kind = "checkpoint" if inside.parts[:1] == ("checkpoints",) else "other"
        os.write(self._open, f"{kind} {what} {inside}\n".encode())
        if kind == self.kind:
            self.seen += 1
            if self.seen == self.last:
                if torn is not None and self.halves:
                    torn()
                os.kill(os.getpid(), signal.SIGKILL)

    def _before(self, call: Callable[..., Any], what: str) -> Callable[..., Any]:
        def counted(descriptor: int) -> Any:
            self._moment(what, os.readlink(f"/proc/self/fd/{descriptor}"))
            return call(descriptor)

        return counted

    def _halving(self, write: Callable[..., Any], path_of: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            path = path_of(*arguments)

            def torn() -> None:
                write(*arguments, **named)
                os.truncate(path, os.path.getsize(path) // 2)

            self._moment("write", os.fspath(path), torn)
            return write(*arguments, **named)

        return counted


# -------------------------------------------------------------------------------------------------------- outcomes


@frozen(eq=False)
class Outcome:
    """What a run has left behind, without what tells the time."""

    step: int
    state: dict[str, Any]
    files: dict[str, Any]  # by name, except those of checkpoints and of TensorBoard
    curves: dict[str, list[tuple[int, float]]]  # as TensorBoard shows them
    checkpoints: set[str]  # names in their folder, hidden ones too


def outcome(folder: Path) -> Outcome:
    from gancore import checkpoint

    state, newest, damaged = checkpoint.load_latest(folder)
    files: dict[str, Any] = {f"damaged {path.name}": problem for path, problem in damaged.items()}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "stats.jsonl":
            files[name] = [{**json.loads(line), "time": 0} for line in path.read_text().splitlines()]
        elif path.is_dir() or path.name in VARYING:
            files[name] = "there"
        elif not path.name.startswith("events.out."):
            files[name] = path.read_bytes()
    files = {name: content for name, content in files.items() if not name.startswith("checkpoints/")}
    left = {path.name for path in (folder / "checkpoints").iterdir()}
    return Outcome(int(newest.name.removeprefix("step-")), state, files, _curves(folder), left)


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells what it leaves out
    events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two things differ; bits, not closeness."""
    import torch

    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
        return [] if same else [path]
    if isinstance(a, dict) and isinstance(b, dict):
        lacking = [f"{path}/{key}: only in {'one' if key in a else 'the other'}" for key in a.keys() ^ b.keys()]
        return lacking + [
            found for key in a.keys() & b.keys() for found in differences(a[key], b[key], f"{path}/{key}")
        ]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [found for i, (x, y) in enumerate(zip(a, b, strict=True)) for found in differences(x, y, f"{path}/{i}")]
    return [] if type(a) is type(b) and repr(a) == repr(b) else [path]


def compare(expected: Outcome, folder: Path, *, at_its_end: bool) -> list[str]:
    """In what a run differs from the one that was left alone.

    Args:
        at_its_end: it was killed after its last checkpoint, when nothing was left to train. What that checkpoint
            supersedes may still be there then.
    """
    found = outcome(folder)
    lacking, more = expected.checkpoints - found.checkpoints, found.checkpoints - expected.checkpoints
    return (
        ([] if found.step == expected.step else [f"ended at step {found.step}"])
        + differences(expected.state, found.state, "state")
        + differences(expected.files, found.files, "files")
        + differences(expected.curves, found.curves, "TensorBoard")
        + [f"without {name}" for name in lacking]
        + [f"left behind: {name}" for name in sorted(more)[2 if at_its_end else 0 :]]
    )


# ------------------------------------------------------------------------------------------------------ experiments


def pictures(folder: Path) -> None:
    """Twenty small pictures in two classes, one of them no picture."""
    from PIL import Image

    rng = random.Random(0)
    for i in range(20):
        file = folder / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (16, 16), rng.randbytes(768)).save(file)


@define
class Killed:
    """One experiment: the run that was left alone, and the tally of those that were not."""

    name: str
    place: Path
    alone: Outcome
    seconds: float  # of the run that was left alone
    moments: dict[str, int]
    kills: int = 0
    inside: int = 0
    resumes: int = 0
    restarts: int = 0
    runs: int = 0
    wrong: dict[Path, list[str]] = field(factory=dict)


def furnish(text: str, place: Path) -> None:
    """Write the experiment, and the data that it may need, into a new folder."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "it.toml").write_text(text)
    pictures(place / "pictures")
    if "damaged" in text:
        (place / "pictures" / "a" / "4.png").write_bytes(b"no picture")


IMPORTED_LATE = (
    "PIL.PngImagePlugin",
    "gancore.assemble.heal",
    "gancore.cli.training",
    "gancore.observe.health",
    "gancore.observe.tensorboard",
    "tensorboard.plugins.hparams.api_pb2",
    "torch.utils.tensorboard",
    "torchvision.utils",
)


def warm_up(place: Path) -> None:
    """Import whatever the children would import, each for itself. No autograd: its threads do not survive a fork."""
    import torch

    import gancore

    torch.set_num_threads(1)
    for name in IMPORTED_LATE:
        importlib.import_module(name)
    with contextlib.chdir(place):
        gancore.load("it.toml", ["train.workers=0"]).assemble()


def prepare(name: str, place: Path) -> Killed:
    """Train the experiment once, undisturbed."""
    watch = Moments(place / "alone", place / "moments").watch
    began = time.monotonic()
    code = ended(start(("train", "it.toml", "--out", "alone"), place, place / "log", watch), PATIENCE)
    seconds = time.monotonic() - began
    if code != 0:
        raise SystemExit(f"{name}: exit code {code}\n{(place / 'log').read_text()}")
    kinds = [line.partition(" ")[0] for line in (place / "moments").read_text().splitlines()]
    moments = {kind: kinds.count(kind) for kind in ("checkpoint", "other")}
    return Killed(name, place, outcome(place / "alone"), seconds, moments)


def kill_a_run(it: Killed, rng: random.Random, most: int) -> None:
    """Train, kill, resume, kill, ... until the run has finished; then judge what it has left."""
    from gancore import checkpoint

    it.runs += 1
    number, kills = 0, 0
    base = it.place / f"run-{it.runs}"
    base.mkdir()
    out = base / "0"
    log, problems = base / "log", []
    resuming = False
    while not problems:
        done = checkpoint.folders(out)
        left = 1 - (int(done[-1].name[5:13]) / STEPS if done else 0)
        verb = ("resume", out) if resuming else ("train", it.place / "it.toml", "--out", out)
        arguments = [str(argument) for argument in verb]
        it.resumes += resuming
        if kills == most:
            code = ended(start(arguments, it.place, log), PATIENCE)
        else:
            code = _killed(it, arguments, out, log, rng, left)
        if code == 0 or (code == 2 and resuming and "has finished its" in log.read_text().splitlines()[-1]):
            break  # killed after its last checkpoint: nothing is left to train
        if code != -signal.SIGKILL:
            said = log.read_text().splitlines()[-1:]
            problems.append("hung" if code is None else f"gancore {verb[0]}: exit code {code}, {''.join(said)}")
            break
        kills += 1
        it.kills += 1
        resuming = bool(checkpoint.folders(out))
        if not resuming:
            problems += _refused(it, out, base / "refusal")
            it.restarts += 1
            number += 1
            out = base / str(number)
    if not problems:
        problems = compare(it.alone, out, at_its_end=code == 2)
        problems += ["killed after its last checkpoint"] if problems and code == 2 else []
    if len(list(out.glob("events.out.*"))) > kills + 1:
        problems.append("more TensorBoard files than processes")
    if problems:
        it.wrong[base] = problems
    else:
        shutil.rmtree(base)


def _killed(it: Killed, arguments: list[str], out: Path, log: Path, rng: random.Random, left: float) -> int | None:
    """Start a process and kill it, somewhere in what is left of the run. Returns its exit code, None if it hung."""
    way = rng.choice(("instant", "instant", "checkpoint", "checkpoint", "other"))
    if way == "instant":
        pid = start(arguments, it.place, log)
        if (code := ended(pid, rng.uniform(0, it.seconds * (0.2 + 0.8 * left)))) is None:
            os.kill(pid, signal.SIGKILL)
            code = ended(pid, PATIENCE)
        it.inside += code == -signal.SIGKILL and any(out.glob("checkpoints/.*"))
        return code
    kind: Kind = "checkpoint" if way == "checkpoint" else "other"
    moment = rng.randint(1, max(1, round(it.moments[kind] * left)))
    code = killed_at(moment, kind, arguments, it.place, out, log, halves=rng.random() < 0.5)
    it.inside += code == -signal.SIGKILL and kind == "checkpoint"
    return code


def killed_at(
    moment: int, kind: Kind, arguments: Iterable[str | Path], place: Path, out: Path, log: Path, *, halves: bool = False
) -> int | None:
    """The exit code of a process that dies at the k-th moment of a kind; None if it hung."""
    pid = start(arguments, place, log, Moments(out, log.with_name("moments"), kind, moment, halves).watch)
    if (code := ended(pid, PATIENCE)) is None:
        os.kill(pid, signal.SIGKILL)
        ended(pid, PATIENCE)
    return code


def _refused(it: Killed, out: Path, log: Path) -> list[str]:
    """Without a checkpoint there is nothing to resume, and that is what has to be said."""
    code = ended(start(("resume", str(out)), it.place, log), PATIENCE)
    said = log.read_text()
    log.unlink()
    if code == 2 and re.fullmatch(r"[^\n]*(no run folder|no usable checkpoint|nothing to resume)[^\n]*\n", said):
        return []
    return [f"resuming without a checkpoint: exit code {code}, {said}"]


# ------------------------------------------------------------------------------------------------------------- all


def kill(experiments: dict[str, str], kills: int, seed: int, folder: Path) -> Iterator[list[Killed]]:
    """Kill runs of each experiment in turn, until there were as many kills; yields the tally after every run."""
    rng = random.Random(seed)
    tally = []
    for i, (name, text) in enumerate(experiments.items()):
        furnish(text, folder / str(i))
        warm_up(folder / str(i))
        tally.append(prepare(name, folder / str(i)))
    while (so_far := sum(it.kills for it in tally)) < kills:
        it = min(tally, key=lambda it: it.kills)
        kill_a_run(it, rng, min(MOST, -(-kills // len(tally)), kills - so_far))
        yield tally


def table(tally: list[Killed]) -> str:
    """The tally, as text."""
    total = Killed("all", Path(), tally[0].alone, 0, {})
    for it in tally:
        for name in ("kills", "inside", "resumes", "restarts", "runs"):
            setattr(total, name, getattr(total, name) + getattr(it, name))
        total.wrong |= it.wrong
    lines = [f"{'experiment':38} {'kills':>6} {'in a checkpoint':>16} {'resumes':>8} {'anew':>5} {'equal runs':>11}"]
    for it in (*tally, total):
        equal = f"{it.runs - len(it.wrong)}/{it.runs}"
        lines.append(f"{it.name:38} {it.kills:6} {it.inside:16} {it.resumes:8} {it.restarts:5} {equal:>11}")
    lines += [f"{place}: {'; '.join(found[:8])}" for place, found in total.wrong.items()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="experiments whose name contains this")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    began, tally = time.monotonic(), []
    chosen = {name: text for name, text in EXPERIMENTS.items() if options.only in name}
    for tally in kill(chosen, options.kills, options.seed, folder):
        kills, wrong = sum(it.kills for it in tally), sum(len(it.wrong) for it in tally)
        said = f"{kills}/{options.kills} kills, {wrong} runs differ, {time.monotonic() - began:.0f} s"
        print(said, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
    print(table(tally))
    if any(it.wrong for it in tally):
        print(f"kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
