"""What `gancore new-plugin` writes, without installing it (tests/test_wheels.py does)."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gancore import UserError
from gancore.components import KINDS, Kind
from gancore.scaffold import NewPlugin

RUFF = Path(sys.executable).with_name("ruff")


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_distribution_is_written(kind: Kind, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    written = NewPlugin("two-words", kind).write(folder)
    assert {str(file.relative_to(folder)) for file in written} == {
        "pyproject.toml", "README.md", ".github/workflows/ci.yml", "example.toml",
        "src/gancore_two_words/__init__.py", "src/gancore_two_words/two_words.py",
        "tests/test_contract.py", "tests/test_two_words.py",
    }  # fmt: skip
    assert set(written) == {file for file in folder.rglob("*") if file.is_file()}
    for file in written:
        assert not re.search(r"\$\w", file.read_text()), f"{file} has something to fill in left"


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_name_each_other(kind: Kind, tmp_path: Path) -> None:
    NewPlugin("two-words", kind).write(tmp_path / "new")
    project = tomllib.loads((tmp_path / "new" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "gancore-two-words"
    assert project["dependencies"] == ["gancore>=0.1,<0.2"]
    assert project["entry-points"] == {"gancore": {"two-words": "gancore_two_words"}}
    assert '"gancore_two_words.two_words:TwoWords"' in (tmp_path / "new/src/gancore_two_words/__init__.py").read_text()
    assert "class TwoWords:" in (tmp_path / "new/src/gancore_two_words/two_words.py").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_its_code_is_clean(kind: Kind, tmp_path: Path) -> None:
    NewPlugin("x", kind).write(tmp_path / "new")
    command = [RUFF, "check", "--isolated", "--select", "E,F,B,UP", "--line-length", "120", tmp_path / "new"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Upper", "under_score", "1st", "a--b", "-a", "", "a b", "../up"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        NewPlugin(name, "loss")


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is there already; it is left as it is"):
        NewPlugin("x", "loss").write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gancore", "new-plugin"]
    done = subprocess.run([*command, "fine", "--kind", "loss"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == (
        "now: cd gancore-fine && python -m pip install -e '.[test]' && pytest && gancore train example.toml"
    )
    done = subprocess.run([*command, "Not Fine", "--kind", "loss"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "Not Fine: a plugin's name is of lower case letters, digits and hyphens, as in soft-labels\n",
    )
