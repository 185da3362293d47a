"""Bad experiment files: what a user is told about each, and where. Every mistake of a file is told at once."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gancore.errors import ExperimentError
from gancore.experiment import read
from gancore.registry import Registry

TABLES = (
    "name, data, model, generator, discriminator, loss, optimizer, regularizer, metric, train, checkpoint, log, "
    "health, callback, plugins"
)
VALID = """\
[train]
steps = 3
[data]
name = "digits"
[model]
name = "mlp"
[loss]
name = "hinge"
[optimizer]
name = "adam"
"""


def changed(*pairs: tuple[str, str]) -> str:
    """The valid experiment with some text replaced."""
    text = VALID
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


# Text, and what is said about it without the file's name. `installed: …` stands for a list of components.
BAD = [
    pytest.param(
        "",
        [
            "1:1: missing table [data]",
            "1:1: missing table [loss]",
            "1:1: missing table [model] (or [generator] and [discriminator])",
            "1:1: missing table [optimizer]",
            "1:1: train: give steps (or epochs): how long to train",
        ],
        id="empty file",
    ),
    pytest.param(
        "# nothing\n",
        [
            "1:1: missing table [data]",
            "1:1: missing table [loss]",
            "1:1: missing table [model] (or [generator] and [discriminator])",
            "1:1: missing table [optimizer]",
            "1:1: train: give steps (or epochs): how long to train",
        ],
        id="only a comment",
    ),
    pytest.param(
        changed(("[train]", "[trian]")),
        [
            "1:1: train: give steps (or epochs): how long to train",
            '1:2: trian: unknown table or key; did you mean "train"?',
        ],
        id="unknown table",
    ),
    pytest.param(
        "nme = 'x'\n" + VALID, ['1:1: nme: unknown table or key; did you mean "name"?'], id="unknown key at the top"
    ),
    pytest.param(
        changed(("steps = 3", "steps = 3\nbatchsize = 8")),
        ['3:1: train.batchsize: unknown option; did you mean "batch_size"?'],
        id="unknown option of the engine",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nhiden = [3]')),
        ['7:1: model.hiden: unknown option; did you mean "hidden"?'],
        id="unknown option of a component",
    ),
    pytest.param(
        changed(('"hinge"', '"hinge"\nx = 1')),
        ["9:1: loss.x: unknown option; there are no options here"],
        id="unknown option of nothing",
    ),
    pytest.param(
        changed(("steps = 3", 'steps = "3"')),
        ["2:9: train.steps: expected an integer, got a string ('3')"],
        id="text for an integer",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 3.0")),
        ["2:9: train.steps: expected an integer, got a float (3.0)"],
        id="a fraction for an integer",
    ),
    pytest.param(
        changed(("steps = 3", "steps = true")),
        ["2:9: train.steps: expected an integer, got a boolean (true)"],
        id="true for an integer",
    ),
    pytest.param(
        changed(('"digits"', "3")), ["4:8: data.name: expected a string, got an integer (3)"], id="an integer for text"
    ),
    pytest.param(
        changed(('"adam"', '"adam"\nlr = 2024-01-01')),
        ["11:6: optimizer.lr: expected a number, got a date or time (2024-01-01)"],
        id="a date for a number",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nconditional = "yes"')),
        ["7:15: model.conditional: expected true or false, got a string ('yes')"],
        id="a boolean in text",
    ),
    pytest.param(
        changed(('"adam"', '"adam"\nlr = [1e-3]')),
        ["11:6: optimizer.lr: expected a number, got an array"],
        id="an array for a number",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nhidden = 256')),
        ["7:10: model.hidden: expected an array, got an integer (256)"],
        id="a number for an array",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nhidden = [256, 2.5]')),
        ["7:16: model.hidden[1]: expected an integer, got a float (2.5)"],
        id="one bad element",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nhidden = [256, 0]')),
        ["7:10: model.hidden: must be >= 1: 0"],
        id="an element out of range",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nhidden = [{a = 1}]')),
        ["7:11: model.hidden[0]: expected an integer, got a table"],
        id="an element of a table",
    ),
    pytest.param(changed(("steps = 3", "steps = 0")), ["2:9: train.steps: must be >= 1: 0"], id="zero steps"),
    pytest.param(
        changed(("steps = 3", "steps = 3\nema_ramp = 1.5")),
        ["3:12: train.ema_ramp: must be <= 1: 1.5"],
        id="above the range",
    ),
    pytest.param(
        changed(('"adam"', '"adam"\nlr = -1')), ["11:6: optimizer.lr: must be > 0: -1.0"], id="below the range"
    ),
    pytest.param(
        changed(('"adam"', '"adam"\nlr = nan')),
        ["11:6: optimizer.lr: expected a finite number, got nan"],
        id="not a number",
    ),
    pytest.param(
        changed(('"adam"', '"adam"\nlr = -inf')),
        ["11:6: optimizer.lr: expected a finite number, got -inf"],
        id="infinite",
    ),
    pytest.param(
        changed(('"adam"', '"adam"\nlr = 1' + "0" * 400)),
        ["11:6: optimizer.lr: expected a finite number, got a huge one"],
        id="an integer too large for a float",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 9223372036854775808")),
        ["2:9: train.steps: does not fit into 64 bits"],
        id="an integer of more than 64 bits",
    ),
    pytest.param(
        changed(("steps = 3", "steps = " + "9" * 5000)),
        ["2:9: an integer of 5000 digits; at most 64 bits are used"],
        id="an integer of 5000 digits",
    ),
    pytest.param(
        changed(('"digits"', '"digits"\nsplit = 0x' + "f" * 5000)),
        ['5:9: data.split: expected one of "all", "train", "test"; got an integer (a huge one)'],
        id="a hexadecimal of 5000 digits",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nactivation = "leakyrelu"')),
        [
            '7:14: model.activation: expected one of "relu", "leaky-relu", "prelu", "elu", '
            '"tanh", "sigmoid"; got a string (\'leakyrelu\'); did you mean "leaky-relu"?'
        ],
        id="a mistyped choice",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 3\nprecision = 16")),
        ['3:13: train.precision: expected one of "fp32", "tf32", "bf16"; got an integer (16)'],
        id="no such choice",
    ),
    pytest.param(
        changed(('"digits"', '"digits"\nsplit = ["train"]')),
        ['5:9: data.split: expected one of "all", "train", "test"; got an array'],
        id="a fraction of a choice",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 3\nepochs = 2")),
        ["1:2: train: give steps or epochs, not both"],
        id="steps and epochs",
    ),
    pytest.param(
        changed(("steps = 3\n", "")),
        ["1:2: train: give steps (or epochs): how long to train"],
        id="neither steps nor epochs",
    ),
    pytest.param(changed(('[data]\nname = "digits"\n', "")), ["1:1: missing table [data]"], id="no data"),
    pytest.param(
        changed(('[model]\nname = "mlp"\n', "")),
        ["1:1: missing table [model] (or [generator] and [discriminator])"],
        id="no model",
    ),
    pytest.param(changed(('[loss]\nname = "hinge"\n', "")), ["1:1: missing table [loss]"], id="no loss"),
    pytest.param(changed(('[optimizer]\nname = "adam"\n', "")), ["1:1: missing table [optimizer]"], id="no optimizer"),
    pytest.param(
        changed(("[train]\nsteps = 3\n", "")), ["1:1: train: give steps (or epochs): how long to train"], id="no train"
    ),
    pytest.param(changed(("[model]", "[generator]")), ["1:1: missing table [discriminator]"], id="no discriminator"),
    pytest.param(
        VALID + '[generator]\nname = "mlp"\n',
        [
            "11:2: generator: [model] already selects both networks; use either [model] or "
            "[generator] and [discriminator]"
        ],
        id="model and generator",
    ),
    pytest.param(changed(('name = "hinge"\n', "")), ["7:2: loss: missing name: which loss?"], id="no name"),
    pytest.param(
        changed(('"hinge"', '"hings"')),
        ['8:8: loss.name: no loss "hings" is installed; did you mean "hinge"?; installed: …'],
        id="an unknown component",
    ),
    pytest.param(
        changed(('"digits"', '"unicorns"')),
        ['4:8: data.name: no dataset "unicorns" is installed; installed: …'],
        id="an unknown component like no other",
    ),
    pytest.param(
        changed(('"hinge"', '"adam"')),
        ['8:8: loss.name: no loss "adam" is installed; installed: …'],
        id="a component of another kind",
    ),
    pytest.param(
        changed(('"hinge"', '"acme/hinge"')),
        ['8:8: loss.name: no loss "acme/hinge" is installed; did you mean "hinge"?; installed: …'],
        id="an unknown distribution",
    ),
    pytest.param(
        changed(('"digits"', '"image-folder"')),
        ["3:2: data: missing option 'root': Folder of the images; searched with all folders below it."],
        id="a missing required option",
    ),
    pytest.param(
        changed(('name = "digits"', 'name = {first = "digits"}')),
        ["4:8: data.name: expected a string, got a table"],
        id="a table for text",
    ),
    pytest.param(
        "data = 'digits'\n" + changed(('[data]\nname = "digits"\n', "")),
        ["1:1: data: expected a table: write [data]"],
        id="text for a table",
    ),
    pytest.param(
        "train = 3\n" + changed(("[train]\nsteps = 3\n", "")),
        ["1:1: train: expected a table: write [train]"],
        id="text for train",
    ),
    pytest.param(
        changed(("[model]", "[[model]]")), ["5:3: model: expected a table: write [model]"], id="an array for a table"
    ),
    pytest.param(
        VALID + '[regularizer]\nname = "r1"\n',
        ["11:2: regularizer: there may be several: write [[regularizer]]"],
        id="a table for an array",
    ),
    pytest.param(
        'callback = ["stats"]\n' + VALID,
        ["1:13: callback[0]: expected a table: write [[callback]]"],
        id="text in an array of tables",
    ),
    pytest.param(
        VALID + '[[regularizer]]\nname = "r1"\n\n[[regularizer]]\nname = "r2"\ngama = 1\n',
        ['16:1: regularizer[1].gama: unknown option; did you mean "gamma"?'],
        id="the second of several",
    ),
    pytest.param(
        VALID + '[[regularizer]]\nname = "r1"\non = "generator"\n',
        ["13:6: regularizer[0].on: expected \"discriminator\"; got a string ('generator')"],
        id="a regularizer on the wrong network",
    ),
    pytest.param(
        changed(('"adam"', '"adam"\nbeta1 = "0"\n[optimizer.generator]\nlr = 1\n[optimizer.discriminator]\nlr = 2')),
        ["11:9: optimizer.beta1: expected a number, got a string ('0')"],
        id="an option inherited by both optimizers",
    ),
    pytest.param(
        changed(('"adam"', "3\n[optimizer.generator]\nlr = 1")),
        ["10:8: optimizer.name: expected a string, got an integer (3)"],
        id="a name inherited by both optimizers",
    ),
    pytest.param(
        changed(('"adam"', '"adm"\n[optimizer.generator]\nlr = 1')),
        ['10:8: optimizer.name: no optimizer "adm" is installed; did you mean "adam"?; installed: …'],
        id="an unknown optimizer inherited by both",
    ),
    pytest.param(
        changed(
            ('name = "adam"', 'lr = 1\n[optimizer.generator]\nname = "adam"\n[optimizer.discriminator]\nname = "sgd"')
        ),
        ["10:1: optimizer.lr: has no effect: [optimizer.generator] and [optimizer.discriminator] both name their own"],
        id="shared options that nobody shares",
    ),
    pytest.param(
        changed(('name = "adam"', '[optimizer.generator]\nname = "adam"')),
        ["9:2: optimizer.discriminator: missing name: which optimizer?"],
        id="an optimizer for one network",
    ),
    pytest.param(
        changed(('"adam"', '"adam"\ngenerator = "sgd"')),
        ["11:1: optimizer.generator: expected a table: write [optimizer.generator]"],
        id="text for an optimizer",
    ),
    pytest.param(
        'name = "a/b"\n' + VALID, ["1:8: name: expected a name that can be a folder's"], id="a name that is no folder"
    ),
    pytest.param('name = ""\n' + VALID, ["1:8: name: expected a name that can be a folder's"], id="an empty name"),
    pytest.param(
        'name = "a\\nb"\n' + VALID,
        ["1:8: name: expected printable characters, 200 bytes of UTF-8 at most"],
        id="a name with a line break",
    ),
    pytest.param(
        'name = "' + "ä" * 101 + '"\n' + VALID,
        ["1:8: name: expected printable characters, 200 bytes of UTF-8 at most"],
        id="a name too long",
    ),
    pytest.param(
        VALID + "[plugins]\ngancore = 0.1\n",
        ["12:11: plugins.gancore: expected a version, as a string"],
        id="a version that is a number",
    ),
    pytest.param(
        VALID + "[checkpoint]\nkeep = 0\nevry = 3\n",
        ["12:8: checkpoint.keep: must be >= 1: 0", '13:1: checkpoint.evry: unknown option; did you mean "every"?'],
        id="a checkpoint option",
    ),
    pytest.param("log = 3\n" + VALID, ["1:1: log: expected a table: write [log]"], id="a number for a table"),
    pytest.param(
        '"a\\u001b[31m" = 1\n' + VALID,
        ['1:1: "a\\u001b[31m": unknown table or key; known: ' + TABLES],
        id="a control character in a key",
    ),
    pytest.param(
        VALID + '["train.ema"]\nx = 1\n',
        ['11:2: "train.ema": unknown table or key; did you mean "train"?'],
        id="a key with a dot",
    ),
    pytest.param(
        "a." * 5000 + "a = 1\n" + VALID,
        ["1:1: cannot be read: a key of more than 32 parts; no option stands that deep"],
        id="thousands of dots",
    ),
    pytest.param(
        changed(("steps = 3", "steps = -3\nsed = 1"), ('"hinge"', '"hing"'), ('"adam"', '"adam"\nlr = "1e-3"')),
        [
            "2:9: train.steps: must be >= 1: -3",
            '3:1: train.sed: unknown option; did you mean "seed"?',
            '9:8: loss.name: no loss "hing" is installed; did you mean "hinge"?; installed: …',
            "12:6: optimizer.lr: expected a number, got a string ('1e-3')",
        ],
        id="several at once",
    ),
    pytest.param(
        'data = {name = "数𝛾", split = "ä"}\n' + changed(('[data]\nname = "digits"\n', "")),
        ['1:16: data.name: no dataset "数𝛾" is installed; installed: …'],
        id="columns after wide characters",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 0")).replace("\n", "\r\n"),
        ["2:9: train.steps: must be >= 1: 0"],
        id="after a table with Windows lines",
    ),
    pytest.param(
        changed(('"digits"', "digits")),
        ["4:8: no valid TOML: no value of TOML; text needs quotes"],
        id="no TOML: text without quotes",
    ),
    pytest.param(
        changed(("steps = 3", "steps: 3")), ["2:6: no valid TOML: expected = after the key"], id="no TOML: a colon"
    ),
    pytest.param(
        changed(("steps = 3", "steps =")),
        ["2:8: no valid TOML: no value of TOML; text needs quotes"],
        id="no TOML: no value",
    ),
    pytest.param(
        changed(('"digits"', '"digits')),
        ["4:15: no valid TOML: the line ends inside a string; a quote is missing"],
        id="no TOML: an open string",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp"\nhidden = [1, 2')), ["8:1: no valid TOML: Unclosed array"], id="no TOML: an open array"
    ),
    pytest.param(
        VALID + "[train]\nseed = 1\n",
        ["11:7: no valid TOML: there is a table 'train' already"],
        id="no TOML: a table twice",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 3\n  steps = 4")),
        ["3:3: no valid TOML: this key has a value already"],
        id="no TOML: a key twice",
    ),
    pytest.param(
        VALID + 'name = "sgd"',
        ["11:1: no valid TOML: this key has a value already"],
        id="no TOML: a key twice at the end",
    ),
    pytest.param(
        "log = {every = 1, every = 2}\n" + VALID,
        ["1:28: no valid TOML: the key 'every' has a value already"],
        id="no TOML: a key twice inline",
    ),
    pytest.param(
        "train.steps = 3\n" + VALID,
        ["2:7: no valid TOML: there is a table 'train' already"],
        id="no TOML: a table where a value is",
    ),
    pytest.param(
        "callback = []\n" + VALID + "[[callback]]\nname = 'stats'\n",
        ["12:11: no valid TOML: 'callback' was complete already; nothing can be added to it"],
        id="no TOML: an array written twice",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 3 seed = 4")),
        ["2:11: no valid TOML: expected the end of the line"],
        id="no TOML: two on a line",
    ),
    pytest.param(
        "log = {every = 1,}\n" + VALID, ["1:18: no valid TOML: expected a key"], id="no TOML: a comma at the end"
    ),
    pytest.param(
        changed(("[data]", "[data")),
        ["3:6: no valid TOML: Expected ']' at the end of a table declaration"],
        id="no TOML: an open header",
    ),
    pytest.param(changed(("[data]", "[]")), ["3:2: no valid TOML: expected a key"], id="no TOML: an empty header"),
    pytest.param(
        changed(("steps = 3", "steps = 03")),
        ["2:10: no valid TOML: expected the end of the line"],
        id="no TOML: a leading zero",
    ),
    pytest.param(
        changed(('"digits"', '"image-folder"\nroot = "C:\\pictures"')),
        ["5:13: no valid TOML: a backslash means something in this string; use \\\\ or single quotes"],
        id="no TOML: backslashes",
    ),
    pytest.param(
        changed(("steps = 3", "steps = 3\0")), ["2:10: no valid TOML: expected the end of the line"], id="no TOML: NUL"
    ),
    pytest.param(
        changed(('"digits"', '"dig\0its"')),
        ["4:12: no valid TOML: Illegal character '\\x00'"],
        id="no TOML: NUL in text",
    ),
    pytest.param(
        "# \x07\n" + VALID,
        ["1:3: no valid TOML: Found invalid character '\\x07'"],
        id="no TOML: a control character in a comment",
    ),
    pytest.param(
        '{"train": {"steps": 3}}\n',
        ["1:1: no valid TOML: expected a [table], a key = value or a # comment"],
        id="no TOML: JSON",
    ),
    pytest.param("train:\n  steps: 3\n", ["1:6: no valid TOML: expected = after the key"], id="no TOML: YAML"),
    pytest.param(
        "a = " + "[" * 10000 + "]" * 10000 + "\n" + VALID,
        ["1:1: cannot be read: brackets are nested too deeply"],
        id="nested too deeply",
    ),
    pytest.param(
        "\ufeff" + changed(("steps = 3", "steps = 0")),
        ["2:9: train.steps: must be >= 1: 0"],
        id="a byte order mark does not count",
    ),
    pytest.param(
        changed(('"mlp"', '"mlp" # ok\nhidden = [256, 2.5] # widths')),
        ["7:16: model.hidden[1]: expected an integer, got a float (2.5)"],
        id="before a comment",
    ),
    pytest.param(
        changed(('"adam"', '"sgd"\nnesterov = true')),
        ["11:12: optimizer.nesterov: nesterov needs momentum above 0, e.g. momentum = 0.9"],
        id="options that contradict each other",
    ),
]


@pytest.mark.parametrize(("text", "messages"), BAD)
def test_text(text: str, messages: list[str], tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(text.encode())
    with pytest.raises(ExperimentError) as caught:
        read(file, registry)
    said = [re.sub(r"; installed: [a-z0-9, -]+$", "; installed: …", line) for line in str(caught.value).split("\n")]
    assert said == [f"{file}:{message}" for message in messages]
    assert all(problem.line and problem.column for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b'name = "x"\n# gr\xc3\xb6\xdfer\n', ":2:6: is not UTF-8 (byte 0xdf)", id="Latin-1"),
        pytest.param(VALID.encode("utf-16"), ":1:1: is not UTF-8 (byte 0xff)", id="UTF-16"),
        pytest.param(b"\x89PNG\r\n\x1a\n", ":1:1: is not UTF-8 (byte 0x89)", id="a picture"),
        pytest.param(b"#" * (2 << 20), ": is larger than 1 MiB; expected an experiment file", id="2 MiB"),
    ],
)
def test_bytes(data: bytes, message: str, tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(data)
    with pytest.raises(ExperimentError) as caught:
        read(file, registry)
    assert str(caught.value) == f"{file}{message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a directory; expected an experiment file"),
        ("no.toml", "does not exist; `gancore init` writes one"),
        ("x" * 300, "cannot be read: File name too long"),
        ("my.toml/x", "cannot be read: Not a directory"),
        ("a\0b", "cannot be read: embedded null byte"),
    ],
)
def test_files_that_cannot_be_opened(name: str, message: str, tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "my.toml").write_text(VALID, "utf-8")
    file = tmp_path / name
    with pytest.raises(ExperimentError) as caught:
        read(file, registry)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "my.toml"
    file.write_text(VALID, "utf-8")
    file.chmod(0)
    with pytest.raises(ExperimentError) as caught:
        read(file, registry)
    assert str(caught.value) == f"{file}: cannot be read: Permission denied"


def test_the_valid_experiment_is_valid(read_text: Callable[..., object]) -> None:
    read_text(VALID)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            changed(("steps = 3", "steps = 0\nsed = 1")).encode(),
            'my.toml:2:9: train.steps: must be >= 1: 0\nmy.toml:3:1: train.sed: unknown option; did you mean "seed"?\n',
            id="two mistakes",
        ),
        pytest.param(
            changed(('"digits"', "digits")).encode(),
            "my.toml:4:8: no valid TOML: no value of TOML; text needs quotes\n",
            id="no TOML",
        ),
        pytest.param(
            b"a = " + b"[" * 10_000, "my.toml:1:1: cannot be read: brackets are nested too deeply\n", id="nested"
        ),
        pytest.param(b"\xff", "my.toml:1:1: is not UTF-8 (byte 0xff)\n", id="not UTF-8"),
        pytest.param(None, "my.toml: does not exist; `gancore init` writes one\n", id="not there"),
    ],
)
def test_the_command_line_says_the_same_and_exits_with_2(data: bytes | None, message: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "my.toml").write_bytes(data)
    command = [sys.executable, "-m", "gancore", "check", "my.toml"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)
