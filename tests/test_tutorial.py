"""The tutorial of examples/third-party-plugin/README.md, block by block, as a reader would follow it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "third-party-plugin"
TUTORIAL = (FOLDER / "README.md").read_text("utf-8").partition("## 1. ")[2]


@frozen
class Block:
    language: str
    text: str


BLOCKS = [Block(language, text) for language, text in re.findall(r"```([\w ]+)\n(.*?)```", TUTORIAL, re.DOTALL)]


def test_every_block_is_a_file_a_command_or_what_a_command_says() -> None:
    assert {block.language for block in BLOCKS} == {"python", "toml", "bash", "bash fails", "console"}
    for block in BLOCKS:
        if block.language in ("python", "toml"):
            assert re.match(r"# [\w/]+\.\w+\n", block.text), block.text


def test_the_first_version_has_six_lines() -> None:
    body = BLOCKS[0].text.partition("@component\n")[2].splitlines()
    assert len([line for line in body if line.strip()]) == 6


def test_the_last_version_is_the_plugin_that_is_there() -> None:
    last = [block.text for block in BLOCKS if block.text.startswith("# src/wgan_div/ralsgan.py\n")][-1]
    assert last.partition("\n")[2] == (FOLDER / "src" / "wgan_div" / "ralsgan.py").read_text("utf-8")


@pytest.mark.slow
def test_the_tutorial_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    """With plain pip, in an environment that sees the packages of this one but none of its scripts."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", venv], check=True)
    # `--system-site-packages` means those of the base interpreter; this environment's own come by a path file.
    (site,) = venv.glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("site-packages")]
    # Added as site folders, so that their own path files (editable installs) count too.
    (site / "outer.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    for script, module in (("gancore", "gancore"), ("pytest", "pytest")):
        file = venv / "bin" / script
        file.write_text(f'#!/bin/sh\nexec "{venv}/bin/python" -m {module} "$@"\n')
        file.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # a source that is rewritten within a second would be read from its cache
    }
    work = tmp_path / "work"
    work.mkdir()
    said = ""
    for block in BLOCKS:
        if block.language in ("python", "toml"):
            file = work / block.text.partition("\n")[0].removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text.partition("\n")[2])
        elif block.language == "console":
            for line in block.text.splitlines():
                assert re.search(f"^{re.escape(line.removesuffix(' ...'))}", said, re.MULTILINE), f"{line}\n{said}"
        else:
            for command in block.text.splitlines():
                words = shlex.split(command)
                words[0] = shutil.which(words[0], path=environment["PATH"]) or words[0]
                done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
                said = done.stdout + done.stderr
                assert bool(done.returncode) == block.language.endswith("fails"), f"{command}\n{said}"
    assert (work / "first.png").is_file()
    assert (work / "dist" / "wgan_div-0.1.0-py3-none-any.whl").is_file()
