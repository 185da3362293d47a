"""Experiment files that went wrong: the real ones of `examples/`, mutated as TOML, as text and as bytes.

The law that `judge` enforces: reading succeeds, or raises an error for users that is short, printable and points into
the file; and what was read can be written and read again. From the root of the project:

    python -m tests.experiment.mutations --count 100000 --seed 0
"""

import argparse
import re
import resource
import signal
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import FrameType

from attrs import frozen

from gancore.errors import ExperimentError, UserError
from gancore.experiment import read
from gancore.experiment.write import write
from gancore.registry import Registry

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 10  # seconds for one file
GROWTH = 256  # MiB for all files
LONGEST = 2500  # characters of one problem without the file's name: a message of 2000, its key, its override
MOST = 101  # problems of one file: a hundred, and that there are more

# One of everything that the grammar has, so that splicing finds it.
EVERYTHING = """\
name = "fuzz" # ä
[train]
steps = 3
batch_size = 8
ema = 1e3
[data]
name = "ring"
radius = 2
[model]
name = "mlp"
hidden = [16, 32] # widths
conditional = true
[loss]
name = "wgan-gp"
weight = 10.0
[optimizer]
name = "adam"
lr = 2e-4
[optimizer.generator]
lr = 1e-4
[optimizer.discriminator]
name = "sgd"
momentum = 0.9
nesterov = true
[[regularizer]]
name = "diffaugment"
policy = ["color", 'cutout']
[[regularizer]]
name = "gradient-clipping"
limit = 1
[[metric]]
name = "mode-coverage"
[[callback]]
name = "stats"
[checkpoint]
every = 100
[health]
every = 10
ignore = ["critic-flat"]
[health.d-dominates]
name = "gancore/d-dominates"
[log]
every = 10
[plugins]
gancore = "0.1.0"
"""

TOKEN = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|[\w+.:-]+|\s+|.")
VALUES = (
    "nan", "-inf", "1e999", "-1e-999", "0x" + "f" * 30, "0o7", "0b1", "9" * 30, "-9223372036854775809", "1_0", "true",
    "2024-01-01", "07:32:00", "1979-05-27 07:32:00.9-08:00", "2024-02-30", "[]", "{}", "[[], [[]]]", "[1, 'a', {}]",
    "{name = 'adam'}", "{a.b = 1, a.c = 2}", "'../x'", "'/'", "'.'", "''", "'nul'", '"\\u0000"', '"\\ud800"',
    '"\\U0010ffff"', '"\\u001b[31m\\u202e\\u009b"', '"""\n"""', "'''\n''", "-0", "-0.0", "+1", ".5", "1.", "03", "1e",
    "'at line 9, column 9)'", "' (at line 9, column 9)'",
)  # fmt: skip
KEYS = (
    "name", "steps", "every", "x", "a.b.c", '""', "'ä'", '"a b"', '"\\u001b"', "__class__", "self", "cls", "on", "0",
    '"../x"', "generator", "discriminator", "train.steps", "' (at line 9, column 9)'",
)  # fmt: skip
HEADERS = (
    "[train]", "[model]", "[generator]", "[[regularizer]]", "[regularizer.x]", "[optimizer.generator]", "[health.x]",
    "[health.critic-flat]", "[[health]]", "[[train]]", "[a.b]", "[[a.b]]", "[]", "[[]]", "[ a . 'b' ]", "[plugins]",
)  # fmt: skip
CHARACTERS = string.printable + "\0\x1b\x7f\x85\x9b\xa0äΩ数𝛾😀e\u0301\u202e\u2028\ufeff\ud800\U0010ffff"
BYTES = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\0", b"\r", b"\x80")


@frozen
class Mutant:
    """A file, and what stands behind `--set`."""

    data: bytes
    overrides: tuple[str, ...]


class ViolationError(AssertionError):
    """The reader broke its law."""


class Hang(BaseException):
    """The reader did not come back. No Exception, so that nobody on the way takes it for a plugin's."""


class Mutator:
    """`mutant(seed)` is the same file each time, as long as the examples stay the same."""

    def __init__(self, registry: Registry) -> None:
        files = sorted(EXAMPLES.rglob("*.toml"))
        self.texts = [EVERYTHING, _crowd(registry), *(file.read_text("utf-8") for file in files)]
        self.lines = sorted({line for text in self.texts for line in text.splitlines() if line.strip()})
        self.values = sorted({line.partition("=")[2].partition("#")[0].strip() for line in self.lines if "=" in line})

    def mutant(self, seed: int) -> Mutant:
        random = Random(seed)
        text = random.choice(self.texts)
        for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
            text = random.choice(self.MUTATIONS)(self, random, text)
        data = text.encode("utf-8", "surrogatepass")
        if random.random() < 0.15:
            data = random.choice(_BYTE_MUTATIONS)(random, data)
        overrides = random.randint(1, 3) if random.random() < 0.15 else 0
        return Mutant(data, tuple(self.override(random) for _ in range(overrides)))

    # -------------------------------------------------------------------------------------- of lines

    def drop_line(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        del lines[random.randrange(len(lines))]
        return "\n".join(lines)

    def copy_line(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        lines.insert(random.randrange(len(lines)), random.choice(lines))
        return "\n".join(lines)

    def swap_lines(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        a, b = random.randrange(len(lines)), random.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
        return "\n".join(lines)

    def splice_line(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        lines.insert(random.randrange(len(lines) + 1), random.choice(self.lines))
        return "\n".join(lines)

    def insert_header(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        lines.insert(random.randrange(len(lines) + 1), random.choice(HEADERS))
        return "\n".join(lines)

    def insert_pair(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        lines.insert(random.randrange(len(lines) + 1), f"{self.key(random)} = {self.value(random)}")
        return "\n".join(lines)

    def change_value(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        pairs = [i for i, line in enumerate(lines) if "=" in line]
        if pairs:
            i = random.choice(pairs)
            lines[i] = f"{lines[i].partition('=')[0]}= {self.value(random)}"
        return "\n".join(lines)

    def change_key(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        pairs = [i for i, line in enumerate(lines) if "=" in line]
        if pairs:
            i = random.choice(pairs)
            lines[i] = f"{self.key(random)} ={lines[i].partition('=')[2]}"
        return "\n".join(lines)

    # -------------------------------------------------------------------------------------- of tokens and characters

    def drop_token(self, random: Random, text: str) -> str:
        tokens = TOKEN.findall(text) or [""]
        del tokens[random.randrange(len(tokens))]
        return "".join(tokens)

    def copy_token(self, random: Random, text: str) -> str:
        tokens = TOKEN.findall(text) or [""]
        tokens.insert(random.randrange(len(tokens)), random.choice(tokens))
        return "".join(tokens)

    def swap_tokens(self, random: Random, text: str) -> str:
        tokens = TOKEN.findall(text) or [""]
        a, b = random.randrange(len(tokens)), random.randrange(len(tokens))
        tokens[a], tokens[b] = tokens[b], tokens[a]
        return "".join(tokens)

    def change_token(self, random: Random, text: str) -> str:
        tokens = TOKEN.findall(text) or [""]
        tokens[random.randrange(len(tokens))] = random.choice((self.value, self.key))(random)
        return "".join(tokens)

    def insert_character(self, random: Random, text: str) -> str:
        i = random.randint(0, len(text))
        return text[:i] + random.choice(CHARACTERS) * random.choice((1, 1, 1, 2, 3, 40)) + text[i:]

    def drop_characters(self, random: Random, text: str) -> str:
        i = random.randint(0, len(text))
        return text[:i] + text[i + random.randint(1, 9) :]

    MUTATIONS: tuple[Callable[["Mutator", Random, str], str], ...] = (
        drop_line, copy_line, swap_lines, splice_line, insert_header, insert_pair, change_value, change_value,
        change_key, drop_token, copy_token, swap_tokens, change_token, insert_character, drop_characters,
    )  # fmt: skip

    # -------------------------------------------------------------------------------------- pieces

    def key(self, random: Random) -> str:
        if random.random() < 0.05:
            return _deep(random, "a.", "a", "")
        return random.choice(KEYS)

    def value(self, random: Random) -> str:
        if random.random() < 0.1:
            return _large(random)
        return random.choice(VALUES if random.random() < 0.6 else self.values)

    def override(self, random: Random) -> str:
        key = random.choice(
            ("train", "train.steps", "data.name", "model.hidden", "regularizer", "regularizer[0]", "metric.0.x", "name",
             "optimizer.generator", "callback[0].every", "plugins.a", "health.ignore", "x", "checkpoint", "")
        )  # fmt: skip
        text = f"{random.choice((key, key, self.key(random)))}={self.value(random)}"
        return self.insert_character(random, text) if random.random() < 0.3 else text


def _crowd(registry: Registry) -> str:
    """Every component that needs no option, every rule, with all their options spelled out."""
    lines = ["[train]", "steps = 3"]
    single = ("data", "digits"), ("model", "mlp"), ("loss", "hinge"), ("optimizer", "adam")
    lines += [f'[{table}]\nname = "{name}"' for table, name in single]
    for kind in ("regularizer", "metric", "callback"):
        lines += [f'[[{kind}]]\nname = "{offer.qualified_name}"' for offer in registry.of_kind(kind)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crowd.toml"
        file.write_text("\n".join(lines), "utf-8")
        return write(read(file, registry))


def _deep(random: Random, opening: str, core: str, closing: str) -> str:
    depth = random.choice((5, 31, 32, 33, 200, 2000) if random.random() < 0.95 else (10_000, 100_000))
    return opening * depth + core + closing * depth


def _large(random: Random) -> str:
    kind = random.randrange(6)
    if kind < 2:
        return _deep(random, *(("[", "", "]"), ("{a = ", "1", "}"))[kind])
    count = random.choice((50, 500, 5000) if random.random() < 0.9 else (50_000,))
    text = random.choice(("x", r"\\", "ä", " ")) * count
    return ("9" * count, f"0x{'f' * count}", f'"{text}"', f"[{'1,' * count}]")[kind - 2]


def _flip(random: Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.choice((1, 1, 2, 5))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _insert_bytes(random: Random, data: bytes) -> bytes:
    i = random.randint(0, len(data))
    return data[:i] + random.choice(BYTES) + data[i:]


_BYTE_MUTATIONS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip,
    _insert_bytes,
    lambda random, data: data[: random.randint(0, len(data))],
    lambda random, data: data[random.randint(0, len(data)) :],
    lambda random, data: b"\xef\xbb\xbf" + data,
    lambda random, data: data.replace(b"\n", b"\r\n"),
    lambda random, data: data.replace(b"\n", b"\r"),
    lambda random, data: data.decode("utf-8", "replace").encode("utf-16"),
    lambda random, data: data.decode("utf-8", "replace").encode("latin-1", "replace"),
    lambda random, data: random.randbytes(random.randint(0, 99)),
)


def judge(mutant: Mutant, file: Path, registry: Registry) -> str:
    """Read it, and say what came of it: `accepted`, or the name of the error.

    Raises:
        ViolationError: the reader broke its law.
    """
    file.write_bytes(mutant.data)
    try:
        experiment = read(file, registry, mutant.overrides)
    except UserError as error:
        if isinstance(error, ExperimentError):
            _judge_problems(error, mutant.data, str(file))
        return type(error).__name__
    except Exception as error:
        raise ViolationError(f"{type(error).__name__}: {error}"[:500]) from error
    written = write(experiment)
    file.write_text(written, "utf-8")
    try:
        again = write(read(file, registry))
    except UserError as error:
        raise ViolationError(f"written, it is no experiment: {error}"[:500]) from error
    if again != written:
        raise ViolationError("written and read again, it is another experiment")
    return "accepted"


def _judge_problems(error: ExperimentError, data: bytes, source: str) -> None:
    lines = data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    if not 1 <= len(error.problems) <= MOST:
        raise ViolationError(f"{len(error.problems)} problems")
    for problem in error.problems:
        said = str(problem).removeprefix(source)
        if not problem.message or not said.isprintable() or len(said) > LONGEST:
            raise ViolationError(f"not a short printable message: {said[:LONGEST]!r}")
        if problem.line and not (problem.line <= len(lines) and problem.column <= len(lines[problem.line - 1]) + 1):
            raise ViolationError(f"points outside of the file: {said}")


def _memory() -> int:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _hang(signum: int, frame: FrameType | None) -> None:
    raise Hang(f"not done after {PATIENCE} s")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="Of the first file; the next one has the next.")
    options = parser.parse_args(arguments)
    registry = Registry.discover()
    mutator = Mutator(registry)
    file = Path(tempfile.mkdtemp()) / "mutant.toml"
    for text in mutator.texts:  # imports every component, so that growth is ours
        judge(Mutant(text.encode(), ()), file, registry)
    signal.signal(signal.SIGALRM, _hang)
    outcomes: Counter[str] = Counter()
    slowest = (0.0, 0)
    before, start = _memory(), time.monotonic()
    for seed in range(options.seed, options.seed + options.count):
        mutant = mutator.mutant(seed)
        begun = time.monotonic()
        signal.alarm(PATIENCE)
        try:
            outcomes[judge(mutant, file, registry)] += 1
            if _memory() - before > GROWTH:
                raise ViolationError(f"more than {GROWTH} MiB of memory")
        except (ViolationError, Hang) as error:
            kept = Path(f"violation-{seed}.toml")
            kept.write_bytes(mutant.data)
            print(f"{kept}: {type(error).__name__}: {error}; --set {mutant.overrides!r}"[:3000])
            return 1
        finally:
            signal.alarm(0)
        slowest = max(slowest, (time.monotonic() - begun, seed))
        if (done := seed - options.seed + 1) % 10_000 == 0:
            print(f"{done:,} files, {time.monotonic() - start:.0f} s, +{_memory() - before} MiB", flush=True)
    print(f"{sum(outcomes.values()):,} files in {time.monotonic() - start:.0f} s, seeds from {options.seed}")
    for outcome, times in outcomes.most_common():
        print(f"  {times:>7,} {outcome}")
    print(f"slowest file: {slowest[0]:.2f} s (seed {slowest[1]})")
    print(f"peak memory: +{_memory() - before} MiB over {before} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
