"""Where every key and value of a TOML file stands, because tomllib does not say.

tomllib decides what the file means; tree-sitter's grammar only says where its parts are.
"""

import tomllib
from collections.abc import Iterator

import tree_sitter_toml
from attrs import frozen
from tree_sitter import Language, Node, Parser

from gancore.experiment.path import Path
from gancore.experiment.toml import DEEPEST

_KEYS = ("bare_key", "quoted_key", "dotted_key")
Point = tuple[int, int]  # row and column from 0, the column in bytes: the grammar's


@frozen
class Place:
    """Line and column, counted from 1, in characters."""

    line: int
    column: int


@frozen
class Places:
    """Places of keys (of a table: of its header) and of values, by path."""

    keys: dict[Path, Point]
    values: dict[Path, Point]
    lines: list[bytes]

    def of_value(self, path: Path) -> Place:
        point = self.values.get(path)
        return self.of_key(path) if point is None else self._place(point)

    def of_key(self, path: Path) -> Place:
        """The place of the key, or of the nearest table around it; the file's beginning if there is none."""
        while path:
            point = self.keys.get(path) or self.values.get(path)
            if point is not None:
                return self._place(point)
            path = path[:-1]
        return Place(1, 1)

    def _place(self, point: Point) -> Place:
        row, column = point
        return Place(row + 1, len(self.lines[row][:column].decode(errors="replace")) + 1)


def locate(text: str) -> Places:
    """Locate the keys and values of a text that tomllib has accepted."""
    return _Locator(text).places


class _Locator:
    def __init__(self, text: str) -> None:
        self.places = Places({}, {}, text.encode().split(b"\n"))
        self._elements: dict[Path, int] = {}  # how many [[tables]] of a name have been opened
        root = Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node
        self._pairs(root, ())
        for node in root.children:
            if node.type in ("table", "table_array_element"):
                self._pairs(node, self._open(node))

    def _open(self, node: Node) -> Path:
        """The path of a `[table]` or `[[table]]` header; a name that is an array means its last element."""
        header = next(child for child in node.children if child.type in _KEYS)
        path: Path = ()
        parts = list(_parts(header))[:DEEPEST]
        for i, (part, part_node) in enumerate(parts):
            path = (*path, part)
            self.places.keys.setdefault(path, _point(part_node))
            last = i == len(parts) - 1
            if last and node.type == "table_array_element":
                self._elements[path] = self._elements.get(path, -1) + 1
            if path in self._elements:
                path = (*path, self._elements[path])
                self.places.keys.setdefault(path, _point(part_node))
        return path

    def _pairs(self, node: Node, path: Path) -> None:
        waiting = [(node, path)]
        while waiting:  # not recursive: a hostile file may nest deeply
            node, path = waiting.pop()
            for child in node.children:
                if child.type != "pair":
                    continue
                key, _, value, *_ = child.children  # a comment may follow
                parts = list(_parts(key))
                if len(path) + len(parts) > DEEPEST:
                    continue
                at = path
                for part, part_node in parts:
                    at = (*at, part)
                    self.places.keys.setdefault(at, _point(part_node))
                waiting += self._value(value, at)

    def _value(self, value: Node, path: Path) -> list[tuple[Node, Path]]:
        """Record a value and what an array holds; return the inline tables found, still to be looked into."""
        tables, waiting = [], [(value, path)]
        while waiting:
            node, at = waiting.pop()
            self.places.values[at] = _point(node)
            if node.type == "inline_table":
                tables.append((node, at))
            elif node.type == "array" and len(at) < DEEPEST:  # the places of [[[... would fill the memory
                elements = [child for child in node.named_children if child.type != "comment"]
                waiting += [(element, (*at, i)) for i, element in enumerate(elements)]
        return tables


def _point(node: Node) -> Point:
    return node.start_point.row, node.start_point.column


def _parts(key: Node) -> Iterator[tuple[str, Node]]:
    """The parts of a possibly dotted key. The grammar nests `a.b.c` as `(a.b).c`."""
    waiting = [key]
    while waiting:  # not recursive, see above
        node = waiting.pop()
        if node.type == "dotted_key":
            waiting += [child for child in reversed(node.children) if child.type in _KEYS]
        else:
            text = (node.text or b"").decode(errors="replace")
            yield (next(iter(tomllib.loads(f"{text} = 0"))) if node.type == "quoted_key" else text), node
