"""tomllib, kept from filling the memory: each part of a dotted key costs it as much as all parts before."""

import re
import tomllib
from typing import Any

DEEPEST = 32  # parts of a key; no option stands deeper

# Closing quotes may be missing: tomllib says so better, and what always matches takes no quadratic time.
_PART = re.compile(r'[A-Za-z0-9_-]+|"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|\'[^\'\n]*\'?', re.DOTALL)
_TOKEN = re.compile(
    r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:""")?'
    r"|'''[^']*(?:'(?!'')[^']*)*(?:''')?"
    r"|#[^\n]*"
    rf"|(?P<key>(?:{_PART.pattern})(?:[ \t]*\.[ \t]*(?:{_PART.pattern}))*)",
    re.DOTALL,
)


class TooDeepError(ValueError):
    """A key of too many parts, at an offset into the text."""

    def __init__(self, at: int) -> None:
        super().__init__(f"a key of more than {DEEPEST} parts")
        self.at = at


def loads(text: str) -> dict[str, Any]:
    """As `tomllib.loads`.

    Raises:
        TooDeepError: a key has too many parts.
        tomllib.TOMLDecodeError: it is no TOML.
        RecursionError: brackets are nested too deeply.
        ValueError: an integer has more digits than Python reads.
    """
    for token in _TOKEN.finditer(text):
        key = token["key"] or ""
        if key.count(".") >= DEEPEST and len(_PART.findall(key)) > DEEPEST:
            raise TooDeepError(token.start())
    return tomllib.loads(text)
