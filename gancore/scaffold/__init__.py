"""`gancore new-plugin`: a complete distribution with one working component, to be changed into one's own.

The files of a distribution stand in `templates/`, as they will be written, with $name, $module, $kind, $Class and the
like to be filled in; the component and its unit test are those of the kind.
"""

from importlib.resources import files
from pathlib import Path
from string import Template

from attrs import field, frozen
from attrs.validators import matches_re

from gancore import __version__
from gancore.components import Kind
from gancore.errors import UserError
from gancore.registry import HOOK_OF

# What the experiment of an example selects besides the new component.
_OTHERS = {
    "data": 'name = "digits"',
    "model": 'name = "mlp"\nhidden = [32]',
    "loss": 'name = "nonsaturating"',
    "optimizer": 'name = "adam"',
}
# Its own table. A rule's is called after the rule, so that it needs no name in it.
_TABLE: dict[Kind, str] = {
    "dataset": "[data]",
    "model": "[model]",
    "loss": "[loss]",
    "optimizer": "[optimizer]",
    "regularizer": "[[regularizer]]",
    "metric": "[[metric]]\nevery = 10",
    "callback": "[[callback]]\nevery = 10",
    "rule": "[health]\nevery = 5\nwarm_up = 0\n\n[health.$name]\nlimit = 8.0",
}
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "ci.yml": ".github/workflows/ci.yml",
    "init.py": "src/$module/__init__.py",
    "$kind.py": "src/$module/$file.py",
    "test_contract.py": "tests/test_contract.py",
    "test_$kind.py": "tests/test_$file.py",
    "experiment.toml": "example.toml",
}


@frozen
class NewPlugin:
    """What is to be made.

    Attributes:
        name: of the distribution and of its component, e.g. `soft-labels`.
    """

    name: str = field(validator=matches_re(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"))
    kind: Kind

    @property
    def words(self) -> dict[str, str]:
        """What fills the templates."""
        parts = self.name.split("-")
        major, minor = __version__.split(".")[:2]
        return {
            "name": self.name,
            "distribution": f"gancore-{self.name}",
            "module": f"gancore_{'_'.join(parts)}",
            "file": "_".join(parts),
            "Class": "".join(part.capitalize() for part in parts),
            "kind": self.kind,
            "hook": HOOK_OF[self.kind],
            "bound": f">={major}.{minor},<{major}.{int(minor) + 1}",
            "tables": self._tables(),
        }

    def write(self, folder: Path) -> list[Path]:
        """Write the distribution into a folder that is empty or not there yet.

        Raises:
            UserError: there is something in it, or it cannot be written.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder}: is there already; it is left as it is. Choose another --dir")
        written = []
        for template, target in _FILES.items():
            file = folder / Template(target).substitute(self.words)
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._filled(Template(template).substitute(self.words)), "utf-8")
            except OSError as error:
                raise UserError(f"{file}: cannot be written: {error.strerror}") from error
            written.append(file)
        return written

    def _filled(self, template: str) -> str:
        source = files("gancore.scaffold").joinpath("templates", f"{template}.template").read_text("utf-8")
        return Template(source).substitute(self.words)

    def _tables(self) -> str:
        """The tables of the example experiment: the new component's in the place of the usual one."""
        header, _, more = Template(_TABLE[self.kind]).substitute(name=self.name).partition("\n")
        name = "" if self.kind == "rule" else f'name = "{self.name}"'
        own = "\n".join(line for line in (header, name, more) if line)
        usual = {f"[{table}]": text for table, text in _OTHERS.items()}
        tables = [own if header == table else f"{table}\n{text}" for table, text in usual.items()]
        return "\n\n".join(tables if header in usual else [*tables, own])
