"""The documentation says what is there: every command, no dead link, no example that cannot work."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
SKIPPED = {".git", ".venv", ".venv-vllm", "node_modules", "dist", "build", "var"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Every Markdown page of the repository."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("."))
        found += [Path(folder) / name for name in sorted(files) if name.endswith(".md")]
    return found


def blocks(language: str) -> list[tuple[str, str, str]]:
    """The code blocks of a language: where they stand, what else the fence says, and the code."""
    found = []
    for page in pages():
        text = page.read_text("utf-8")
        for fence in FENCE.finditer(text):
            words = fence[1].split() or [""]
            if words[0] == language:
                line = text[: fence.start()].count("\n") + 2
                found.append((f"{page.relative_to(ROOT)}:{line}", " ".join(words[1:]), fence[2]))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes out of a page's headings."""
    text = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def cli() -> click.Group:
    """The command line with everything that other rooms bring to it."""
    group = importlib.import_module("picktune.cli").main
    assert isinstance(group, click.Group)
    return group


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by what a user types."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("root", ["adapters", "plugin", "retrain", "docs", "examples", "bench"])
def test_every_room_says_what_lives_there(root: str) -> None:
    page = ROOT / root / "README.md"
    assert page.is_file(), f"{page} is missing"
    assert len(page.read_text("utf-8").split()) > 30


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"]({page.name})" not in index]
    assert missing == ["README.md"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


@pytest.mark.parametrize(
    ("where", "said", "code"), [pytest.param(*one, id=one[0]) for one in blocks("python")]
)
def test_python_examples(where: str, said: str, code: str, tmp_path: Path) -> None:
    """They compile, what they import is there, and those marked ``python run`` run."""
    tree = compile(code, where, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("picktune"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("picktune"):
                    importlib.import_module(alias.name)
    if "run" in said.split():
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{where}\n{done.stderr}"


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    missing = []
    for path, command in commands(cli()):
        if command.hidden:
            continue
        if f"picktune {path}" not in page:
            missing.append(f"picktune {path}")
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden and parameter.opts != ["--help"]:
                names = [*parameter.opts, *parameter.secondary_opts]
                missing += [f"{path} {name}" for name in names if not re.search(rf"{name}(?![\w-])", page)]
    assert not missing, f"docs/cli.md does not say: {', '.join(missing)}"


def lines() -> list[tuple[str, str]]:
    """Every shell line of the documentation that runs something of ours."""
    found = []
    for where, _, code in blocks("sh") + blocks("bash"):
        joined = code.replace("\\\n", " ")
        found += [
            (where, line.strip())
            for line in joined.splitlines()
            if re.match(r"(picktune|scripts/|python bench/)", line.strip())
        ]
    return found


@pytest.mark.parametrize(("where", "line"), [pytest.param(*one, id=one[0]) for one in lines()])
def test_shell_examples_name_what_exists(where: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] != "picktune":
        script = words[1] if words[0] == "python" else words[0]
        assert (ROOT / script).is_file(), f"{where}: {script}"
        return
    command: click.Command = cli()
    used = []
    for word in words[1:]:
        if word in ("|", ">", "&&", "||", ";", "&"):
            break
        used.append(word)
    while used and isinstance(command, click.Group):
        inside = command.get_command(click.Context(command), used[0])
        if inside is None:
            break
        command = inside
        used.pop(0)
    assert not isinstance(command, click.Group) or not used or used[0].startswith("-"), f"{where}: {line}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in used:
        if word.startswith("--"):
            assert word.partition("=")[0] in known | {"--help"}, f"{where}: {line}"
