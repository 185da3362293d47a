"""An experiment file as plain tables that know where they stand."""

import codecs
import re
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path as FilePath
from typing import Any

from attrs import frozen

from gancore.errors import ExperimentError, Problem
from gancore.experiment import override, toml
from gancore.experiment.locate import Places, locate
from gancore.experiment.path import Path, show
from gancore.experiment.plain import plain

# Experiment files are a page long. The bound keeps a file given by mistake (a data set, say) from filling the memory.
MAX_BYTES = 1 << 20
_LONGEST_INTEGER = 4300  # digits that Python reads
_LONGEST = 200  # characters of what tomllib says, which may repeat a key

# tomllib's words that do not help, and ours: at first the whole message, as a pattern.
_CLEARER = (
    (r"Cannot declare \((.*?),?\) twice", r"there is a table \1 already"),
    (r"Cannot mutate immutable namespace \((.*?),?\)", r"\1 was complete already; nothing can be added to it"),
    (r"Cannot overwrite a value", "this key has a value already"),
    (r"Duplicate inline table key (.*)", r"the key \1 has a value already"),
    (r"Illegal character '\\n'", "the line ends inside a string; a quote is missing"),
    (r"Unescaped '\\' in a string", r"a backslash means something in this string; use \\\\ or single quotes"),
    (r"Invalid value", "no value of TOML; text needs quotes"),
    (r"Invalid initial character for a key part", "expected a key"),
    (r"Expected newline or end of document after a statement", "expected the end of the line"),
    (r"Expected '=' after a key in a key/value pair", "expected = after the key"),
    (r"Invalid statement", "expected a [table], a key = value or a # comment"),
)


@frozen
class Document:
    """The tables of a file, `--set` applied.

    Attributes:
        source: the file, as messages name it.
        overridden: for each path that `--set` changed, how messages name the override.
    """

    source: str
    tables: dict[str, Any]
    places: Places
    overridden: dict[Path, str]

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """A problem with the value at `path`, or with the key itself."""
        message = plain(message)
        for i in range(len(path), 0, -1):
            if path[:i] in self.overridden:
                return Problem(0, 0, show(path), message, self.overridden[path[:i]])
        place = self.places.of_key(path) if at_key else self.places.of_value(path)
        return Problem(place.line, place.column, show(path), message, self.source)


def load(file: FilePath, overrides: Iterable[str] = ()) -> Document:
    """Read a file.

    Raises:
        ExperimentError: it cannot be read, is no UTF-8 or no TOML, or an override does not fit.
    """
    return parse(_text(file), str(file), overrides)


def parse(text: str, source: str, overrides: Iterable[str] = ()) -> Document:
    """As `load`, from text."""
    try:
        tables = toml.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError([_syntax_problem(text, source, str(error))]) from error
    except toml.TooDeepError as error:
        message = f"cannot be read: {error}; no option stands that deep"
        raise ExperimentError([Problem(*_place(text, error.at), "", message, source)]) from error
    except RecursionError as error:
        raise ExperimentError([Problem(1, 1, "", "cannot be read: brackets are nested too deeply", source)]) from error
    except ValueError as error:
        raise ExperimentError([_number_problem(text, source, str(error))]) from error
    places = locate(text)
    overridden: dict[Path, str] = {}
    for item in overrides:
        path, value = override.parse(item)
        overridden[path] = override.named(item)
        override.apply(tables, path, value, overridden[path])
    return Document(source, tables, places, overridden)


def _text(file: FilePath) -> str:
    def fail(message: str, line: int = 0, column: int = 0) -> ExperimentError:
        return ExperimentError([Problem(line, column, "", message, str(file))])

    try:
        kind = file.stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # a pipe would wait for a writer
            raise fail("is a pipe or a device; expected an experiment file")
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise fail("is a directory; expected an experiment file") from error
    except FileNotFoundError as error:
        raise fail("does not exist; `gancore init` writes one") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise fail(f"cannot be read: {getattr(error, 'strerror', error)}") from error
    if len(data) > MAX_BYTES:
        raise fail(f"is larger than {MAX_BYTES >> 20} MiB; expected an experiment file")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before.rpartition(b"\n")[2].decode("utf-8")) + 1
        byte = f"0x{data[error.start]:02x}"
        raise fail(f"is not UTF-8 (byte {byte})", before.count(b"\n") + 1, column) from error


def _syntax_problem(text: str, source: str, message: str) -> Problem:
    """tomllib puts the place into its message, as words."""
    # At its end: a key that it repeats may hold such words as well.
    found = re.search(r" \(at (?:line (\d+), column (\d+)|[^()]*)\)\Z", message)
    what = message[: found.start()] if found else message
    if found and found[1]:
        line, column = int(found[1]), int(found[2])
    else:
        line, column = _place(text, len(text))
    if what == "Cannot overwrite a value":  # noticed at the end of the value
        content = text.split("\n")[line - 1]
        column = len(content) - len(content.lstrip()) + 1
    for pattern, clearer in _CLEARER:
        what = re.sub(f"^{pattern}$", clearer, what)
    return Problem(line, column, "", f"no valid TOML: {plain(what, _LONGEST)}", source)


def _number_problem(text: str, source: str, message: str) -> Problem:
    """tomllib lets Python's own refusal of very long integers through, without a place."""
    if found := re.search(rf"(?<![\d_])[\d_]{{{_LONGEST_INTEGER + 1},}}", text):
        message = f"an integer of {len(found[0])} digits; at most 64 bits are used"
        return Problem(*_place(text, found.start()), "", message, source)
    return Problem(1, 1, "", f"cannot be read: {message}", source)


def _place(text: str, at: int) -> tuple[int, int]:
    """Line and column of an offset."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
