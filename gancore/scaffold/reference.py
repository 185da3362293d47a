"""The reference page of all hooks, written from `gancore.hookspecs` and `gancore.contracts` themselves."""

import ast
import inspect
import re

import attrs

from gancore import contracts, hookspecs
from gancore.components import KINDS
from gancore.registry import HOOK_OF

RECORDS = (
    "DataSpec", "Companion", "Context", "Phase", "Vitals", "History", "Facts", "Finding", "Change", "Run", "Stateful",
)  # fmt: skip


def reference() -> str:
    """Markdown: what each hook is for, and the contract of what it offers, with signatures."""
    tree = ast.parse(inspect.getsource(contracts))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    parts = [
        "# Hooks: what a plugin can bring",
        "<!-- Written by `gancore hooks`; change gancore/hookspecs.py or gancore/contracts.py instead. -->",
        _text(inspect.getdoc(hookspecs)),
    ]
    for kind in KINDS:
        hook = HOOK_OF[kind]
        doc = inspect.getdoc(getattr(hookspecs, hook)) or ""
        parts += [f"## {kind}: `{hook}() -> Iterable[Component]`", _text(doc)]
        named = re.findall(r"`(?:gancore\.contracts\.)?([A-Z]\w+)`", doc.partition("Contract:")[2])
        for name in named:
            parts += _contract(classes[name])
    parts += ["## Records and other contracts that these mention"]
    for name in RECORDS:
        parts += _contract(classes[name])
    return "\n\n".join(parts) + "\n"


def _contract(node: ast.ClassDef) -> list[str]:
    cls = getattr(contracts, node.name)
    lines = [line for item in node.body if (line := _member(item))]
    signature = "\n".join([f"class {node.name}:", *(f"    {line}" for line in lines)])
    kind = "record" if attrs.has(cls) else "contract"
    return [f"### {kind} `{node.name}`", _text(inspect.getdoc(cls)), f"```python\n{signature}\n```"]


def _member(item: ast.stmt) -> str:
    """One attribute or method, as an author would read it: without quotes, bodies and decorators."""
    if isinstance(item, ast.AnnAssign):
        default = f" = {ast.unparse(item.value)}" if item.value and "field" not in ast.unparse(item.value) else ""
        return f"{ast.unparse(item.target)}: {_bare(item.annotation)}{default}"
    if isinstance(item, ast.FunctionDef):
        is_property = any(ast.unparse(decorator) == "property" for decorator in item.decorator_list)
        returns = _bare(item.returns) if item.returns else "None"
        if is_property:
            return f"{item.name}: {returns}"
        arguments = [
            argument.arg + (f": {_bare(argument.annotation)}" if argument.annotation else "")
            for argument in item.args.args
        ]
        for i, value in enumerate(reversed(item.args.defaults), 1):
            arguments[-i] += f" = {ast.unparse(value)}"
        return f"def {item.name}({', '.join(arguments)}) -> {returns}: ..."
    return ""


def _bare(annotation: ast.expr) -> str:
    """An annotation without the quotes of what is imported for type checkers only."""
    if isinstance(annotation, ast.Constant):
        return str(annotation.value)
    written = ast.unparse(annotation)
    return written if "Literal" in written else written.replace("'", "")


def _text(doc: str | None) -> str:
    """A docstring as Markdown: sections of attributes become lists."""
    lines = []
    for line in (doc or "").splitlines():
        if re.fullmatch(r"\w[\w ,]*:", line):
            lines += [f"*{line[:-1]}*", ""]
        elif line.startswith("    ") and re.match(r" {4}[\w, ]+: ", line):
            names, _, rest = line.strip().partition(": ")
            lines.append(f"- `{names}`: {rest}")
        elif line.startswith("      "):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)
