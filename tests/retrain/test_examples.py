"""The examples of how to start the nightly: they parse, and they treat the exit codes right."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "nightly"
SCRIPT = """#!/bin/sh
trap 'sleep 0.3; echo saved; exit 1' TERM
echo "said $*"
[ "$CODE" = wait ] && { touch started; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done; exit 0; }
exit "$CODE"
"""


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with a ``picktune`` that ends with the code in ``CODE``, for what only passes codes on."""
    script = tmp_path / "picktune"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return tmp_path


def crontab() -> tuple[dict[str, str], list[str], str]:
    """The settings, the five time fields and the command of the crontab's one entry."""
    settings, entries = {}, []
    for line in (FOLDER / "crontab").read_text("utf-8").splitlines():
        if match := re.fullmatch(r"([A-Z_]+)=(.*)", line):
            settings[match[1]] = match[2]
        elif line.strip() and not line.startswith("#"):
            entries.append(line.split(None, 5))
    ((*fields, command),) = entries
    return settings, fields, command


def test_the_crontab_runs_once_a_night() -> None:
    _, fields, command = crontab()
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    for field, (low, high) in zip(fields, limits, strict=True):
        assert field == "*" or low <= int(field) <= high
    assert fields[:2] == ["15", "2"]
    assert fields[2:] == ["*", "*", "*"]
    assert "%" not in command, "cron makes a line end of it"


@pytest.mark.parametrize(("code", "mailed"), [("0", False), ("10", False), ("20", False), ("1", True)])
def test_the_crontab_mails_only_failures(bin_folder: Path, code: str, mailed: bool) -> None:
    settings, _, command = crontab()
    command = command.replace("/opt/picktune/bin", str(bin_folder)).replace(
        "/var/lib/picktune", str(bin_folder)
    )
    done = subprocess.run(
        [settings["SHELL"], "-c", command],
        env=settings | {"CODE": code, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert (done.stdout != "") is mailed
    if mailed:
        assert "failed with code 1" in done.stdout
        assert "said nightly" in done.stdout
    assert "said nightly" in (bin_folder / "nightly.log").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_units(bin_folder: Path) -> None:
    for unit in FOLDER.glob("picktune-nightly.*"):
        text = unit.read_text("utf-8").replace("/opt/picktune/bin", str(bin_folder))
        (bin_folder / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(bin_folder.glob("picktune-nightly.*")))],
        capture_output=True,
        text=True,
        check=False,
    )
    # It also looks at whatever else the machine has; only our units matter.
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "picktune-nightly" in line]
    assert ours == []


def test_systemd_takes_the_quiet_codes_for_successes() -> None:
    text = (FOLDER / "picktune-nightly.service").read_text("utf-8")
    assert "\nSuccessExitStatus=10 20\n" in text
    assert "\nOnCalendar=*-*-* 02:15:00\n" in (FOLDER / "picktune-nightly.timer").read_text("utf-8")


def test_kubernetes_passes_codes_and_sigterm_on(bin_folder: Path) -> None:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((FOLDER / "cronjob.yaml").read_text("utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["schedule"] == "15 2 * * *"
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    line = [*container["command"], *container["args"]]

    def start(code: str) -> subprocess.Popen[str]:
        environ = {"CODE": code, "PATH": f"{bin_folder}:/usr/bin:/bin"}
        return subprocess.Popen(line, env=environ, cwd=bin_folder, stdout=subprocess.PIPE, text=True)

    for code, expected in (("0", 0), ("10", 0), ("20", 0), ("1", 1)):
        process = start(code)
        assert "said nightly --json" in process.communicate(timeout=30)[0]
        assert process.returncode == expected
    process = start("wait")
    deadline = time.monotonic() + 30
    while not (bin_folder / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert "saved" in said
    assert process.returncode == 1
