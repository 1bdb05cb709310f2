"""Imports go down, the plugin starts without torch and quickly, and the wheel holds what it should."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "picktune": ROOT / "plugin" / "picktune",
    "picktune_adapters": ROOT / "adapters" / "picktune_adapters",
    "picktune_retrain": ROOT / "retrain" / "picktune_retrain",
}

TIMED = """
import sys, time
begin = time.perf_counter()
import picktune
print(time.perf_counter() - begin, bool({"torch", "transformers", "peft", "scipy"} & set(sys.modules)))
"""

# None in sys.modules makes the import fail, as it would where the package is not installed. Only a room of
# the engines may fail so, and only because it imports one of those that may know torch.
WITHOUT_TORCH = """
import importlib, pkgutil, sys
for name in ("torch", "transformers", "peft", "gguf", "trl"):
    sys.modules[name] = None
import picktune, picktune_adapters
allowed, count = set(sys.argv[1].split(",")), 0
for package in (picktune, picktune_adapters):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(module.name)
            count += 1
        except ModuleNotFoundError as error:
            frame, through = error.__traceback__, set()
            while frame:
                through.add(frame.tb_frame.f_globals["__name__"])
                frame = frame.tb_next
            if not (module.name.startswith("picktune.engines.") and through & allowed):
                raise
import picktune.engines.local, picktune.engines.smollm2, picktune.app, picktune.cli
print(count)
"""


def run(*command: str, cwd: Path = ROOT) -> str:
    """What a command printed; its errors are the failure's message."""
    # Coverage would follow into the child and slow down what is timed here.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_imports_go_down() -> None:
    output = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert "0 broken" in output


def test_import_is_quick_and_brings_no_torch(tmp_path: Path) -> None:
    seconds, heavy = zip(
        *(run(sys.executable, "-c", TIMED, cwd=tmp_path).split() for _ in range(5)), strict=True
    )
    assert set(heavy) == {"False"}
    assert min(map(float, seconds)) < 0.3


def test_the_plugin_starts_without_torch(tmp_path: Path) -> None:
    """Every room can be imported but those of the embedded engine, which ``local`` loads when it starts."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    (contract,) = [one for one in tools["importlinter"]["contracts"] if one["type"] == "forbidden"]
    allowed = {line.partition(" -> ")[0] for line in contract["ignore_imports"]}
    command = (sys.executable, "-W", "error", "-c", WITHOUT_TORCH, ",".join(allowed))
    assert int(run(*command, cwd=tmp_path)) > 60


def test_every_entry_point_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {("console_scripts", name) for name in project["scripts"]}
    wanted |= {(group, name) for group, names in project["entry-points"].items() for name in names}
    assert wanted
    for group, name in sorted(wanted):
        (entry,) = [one for one in entry_points(group=group, name=name) if one.value.startswith("picktune")]
        assert callable(entry.load()), entry


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as pip builds it but without going for the build tool."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(folder))
    run(sys.executable, "-m", "pip", "wheel", *options, str(ROOT))
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_three_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    (information,) = {name for name in top if name.endswith(".dist-info")}
    assert top - {information} == set(PACKAGES)
    assert f"{information}/licenses/LICENSE" in wheel.namelist()


def test_the_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    held = set(wheel.namelist())
    for package, folder in PACKAGES.items():
        files = {
            f"{package}/{path.relative_to(folder).as_posix()}"
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert f"{package}/py.typed" in files
        assert files == {name for name in held if name.startswith(f"{package}/")}
    suffixes = {Path(name).suffix for name in held}
    assert {".html", ".css", ".js", ".jsonl"} <= suffixes  # pages and sample tickets


def test_a_plain_install_brings_no_torch(wheel: zipfile.ZipFile) -> None:
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    lines = wheel.read(metadata).decode().splitlines()
    plain = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert len(plain) > 10
    assert not [line for line in plain if "torch" in line or "transformers" in line]


def test_the_plugin_for_vllm_needs_nothing_but_torch_and_vllm() -> None:
    """It lives in vLLM's environment, which has none of our dependencies."""
    allowed = {"picktune_vllm", "torch", "vllm", *sys.stdlib_module_names}
    files = sorted((ROOT / "vllm_plugin").rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, file
