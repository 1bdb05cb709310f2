"""A platform's fine-tuning API over a real socket: whole runs, and all that can cut them short."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from openai import BadRequestError, OpenAI
from picktune.records import ChoiceSet, Message, utc_now
from picktune_adapters.check_remote import REMOTE
from picktune_adapters.errors import AdapterCorrupt
from picktune_adapters.registry import Registry
from picktune_retrain.dataset import find_dataset, load_dataset
from picktune_retrain.datasetcli import dataset
from picktune_retrain.errors import NothingToTrain
from picktune_retrain.platform import Platform, PlatformError, Wanted, finetune
from picktune_retrain.platform import job as steps
from picktune_retrain.platform.rows import rows_of
from picktune_retrain.records import Dataset

MODEL = "gpt-4.1-mini-2025-04-14"
JOBS = "POST /fine_tuning/jobs"
KEY = "PICKTUNE_PLATFORM_KEY"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PICKTUNE_CONFIG", raising=False)
    monkeypatch.setenv(KEY, "sk-good")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, fill_log: Callable[..., Path]) -> Path:
    made = fill_log(tmp_path_factory.mktemp("filled") / "home", 40)
    ended = CliRunner().invoke(dataset, ["build", "--home", str(made)])
    assert ended.exit_code == 0, ended.output
    return made


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "home")


def stored(home: Path) -> Dataset:
    folder = home / "datasets"
    return load_dataset(find_dataset(None, folder).id, folder)


def run(home: Path, url: str, *arguments: object) -> Result:
    words = ["finetune", "--platform", url, "--model", MODEL, *map(str, arguments), "--home", str(home)]
    return CliRunner().invoke(dataset, words)


def tune(
    home: Path,
    url: str,
    *,
    key: str | None = "sk-good",
    sleep: Callable[[float], object] = lambda seconds: None,
    hear: Callable[[str], object] = lambda text: None,
    rows: Dataset | None = None,
    **wanted: Any,
) -> Any:
    asked = Wanted(**{"model": MODEL} | wanted)
    registry = Registry(home / "registry")
    with Platform(url, key, sleep=sleep) as platform:
        return finetune(platform, asked, rows or stored(home), home, registry, now=utc_now, hear=hear)


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_a_whole_run_registers_what_the_platform_made(home: Path, fine_tuning: Any, method: str) -> None:
    heard: list[str] = []
    made = tune(home, fine_tuning.url, method=method, epochs=2, suffix="picks", seed=7, hear=heard.append)
    ((id, wanted),) = fine_tuning.wanted.items()
    rows = stored(home)
    assert (made.kind, made.method, made.run_id, made.rank) == ("remote", method, id, 0)
    assert (made.base_model, made.picks, made.dataset_id) == (MODEL, len(rows.train), rows.version.id)
    assert made.metrics == {"trained_tokens": 1234.0}
    told = json.loads((Registry(home / "registry").folder(made.name) / REMOTE).read_bytes())
    model = f"ft:{MODEL}:org:picks:{id[6:]}"
    assert told == {"url": fine_tuning.url, "model": model, "job": id}
    assert (wanted.seed, wanted.method.type) == (7, "dpo" if method == "dpo" else "supervised")
    learned = fine_tuning.rows(id)
    if method == "dpo":
        assert len(learned) == 3 * len(rows.train)
        picked = {row["preferred_output"][0]["content"] for row in learned}
        assert wanted.method.dpo.hyperparameters.n_epochs == 2
    else:
        assert len(learned) == len(rows.train)
        picked = {row["messages"][-1]["content"] for row in learned}
        assert wanted.method.supervised.hyperparameters.n_epochs == 2
    assert all(text.startswith("Sorry") for text in picked)
    assert wanted.validation_file is not None
    statuses = [text.rpartition(" ")[2] for text in heard if text.startswith(f"job {id}: ")]
    assert statuses == ["validating_files", "queued", "running", "succeeded"]
    # Once more: nothing is sent, nothing is paid for, and it is the same version.
    assert tune(home, fine_tuning.url, method=method, epochs=2, suffix="picks", seed=7) == made
    assert (len(fine_tuning.jobs), len(fine_tuning.files)) == (1, 2)
    # Other wishes are another job.
    assert tune(home, fine_tuning.url, method=method, epochs=3).name != made.name
    assert len(fine_tuning.jobs) == 2


def test_a_failed_job_says_why_and_the_next_run_begins_anew(home: Path, fine_tuning: Any) -> None:
    fine_tuning.steps = ("validating_files", "running", "failed")
    with pytest.raises(PlatformError, match=r"ftjob-\d+ at .* ended as failed: The job ran out of cluster"):
        tune(home, fine_tuning.url)
    assert Registry(home / "registry").versions() == []
    fine_tuning.steps = ("running", "cancelled")
    with pytest.raises(PlatformError, match="ended as cancelled: no reason given"):
        tune(home, fine_tuning.url)
    fine_tuning.steps = ("succeeded",)
    assert tune(home, fine_tuning.url).run_id == list(fine_tuning.jobs)[2]


def test_interrupted_anywhere_it_goes_on_with_the_same_job(home: Path, fine_tuning: Any) -> None:
    def stop_at(start: str) -> Callable[[str], None]:
        def hear(text: str) -> None:
            if text.startswith(start):
                raise KeyboardInterrupt

        return hear

    # After the first of two files was uploaded, after the second at creating, and while it trains.
    with pytest.raises(KeyboardInterrupt):
        tune(home, fine_tuning.url, hear=lambda text: stop_at("uploading")(text) if "valid" in text else None)
    assert (len(fine_tuning.files), len(fine_tuning.jobs)) == (1, 0)
    fine_tuning.faults[JOBS] = [400]
    with pytest.raises(PlatformError, match="told to"):
        tune(home, fine_tuning.url)
    assert (len(fine_tuning.files), len(fine_tuning.jobs)) == (2, 0)
    with pytest.raises(KeyboardInterrupt):
        tune(home, fine_tuning.url, hear=stop_at("job ftjob"))
    made = tune(home, fine_tuning.url)
    assert (len(fine_tuning.files), list(fine_tuning.jobs)) == (2, [made.run_id])


def test_killed_after_the_registry_was_written_it_is_not_registered_twice(
    home: Path, fine_tuning: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine_tuning.steps = ("succeeded",)
    register = steps._register

    def die(*arguments: Any) -> None:
        register(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "_register", die)
    with pytest.raises(KeyboardInterrupt):
        tune(home, fine_tuning.url)
    monkeypatch.undo()
    (before,) = Registry(home / "registry").versions()
    assert tune(home, fine_tuning.url) == before


def test_killed_before_it_could_note_its_job_it_finds_it(home: Path, fine_tuning: Any) -> None:
    """The process is killed by SIGKILL once the platform has the job and before it has answered."""
    fine_tuning.steps = ("succeeded",)
    script = "from picktune_retrain.datasetcli import dataset; dataset()"
    words = ["finetune", "--platform", fine_tuning.url, "--model", MODEL, "--home", str(home)]
    process = subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.DEVNULL)
    fine_tuning.created = lambda: os.kill(process.pid, signal.SIGKILL)
    assert process.wait(120) == -signal.SIGKILL
    assert len(fine_tuning.jobs) == 1
    assert Registry(home / "registry").versions() == []
    fine_tuning.created = lambda: None
    ended = run(home, fine_tuning.url)
    assert ended.exit_code == 0, ended.output
    (made,) = Registry(home / "registry").versions()
    assert f"registered as {made.name}" in ended.stdout
    assert list(fine_tuning.jobs) == [made.run_id]
    assert fine_tuning.count(JOBS) == 1
    assert fine_tuning.count("POST /files") == 2


def test_busy_and_broken_platforms(home: Path, fine_tuning: Any) -> None:
    pauses: list[float] = []
    fine_tuning.steps = ("succeeded",)
    # A 429 says that nothing was made: asked again. A 500 may have made a job: looked for by the next run.
    fine_tuning.faults = {"POST /files": [429, 429], JOBS: [429, 500]}
    with pytest.raises(PlatformError, match="answered 500: told to"):
        tune(home, fine_tuning.url, sleep=pauses.append)
    assert pauses == [2.0, 4.0, 2.0]
    (id,) = fine_tuning.jobs
    fine_tuning.faults = {"GET /fine_tuning/jobs": [503], f"GET /fine_tuning/jobs/{id}": [500, 502]}
    assert tune(home, fine_tuning.url).run_id == id
    assert list(fine_tuning.jobs) == [id]
    fine_tuning.faults = {"POST /files": [429] * 9}
    with pytest.raises(PlatformError, match="answered 429: told to"):
        tune(home, fine_tuning.url, epochs=1)
    assert len(fine_tuning.faults["POST /files"]) == 3


def test_keys_and_addresses(home: Path, fine_tuning: Any) -> None:
    for key, why in ((None, "didn't provide"), ("sk-bad", "Incorrect API key")):
        with pytest.raises(PlatformError, match=f"answered 401: .*{why}.*put the key into {KEY}"):
            tune(home, fine_tuning.url, key=key)
    assert (fine_tuning.files, fine_tuning.jobs) == ({}, {})
    for url in ("http://api.example.com/v1", "https://me:pw@api.example.com/v1", "ftp://x", "https://", "no"):
        with pytest.raises(PlatformError, match="cannot be used"):
            Platform(url, "sk-good")
    with pytest.raises(PlatformError, match="cannot be reached"):
        tune(home, "http://127.0.0.1:9/v1")
    page = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))
    with (
        Platform("https://api.example.com/v1", None, transport=page) as platform,
        pytest.raises(PlatformError, match="not OpenAI's"),
    ):
        platform.jobs()


def test_what_the_platform_refuses_is_reported(
    home: Path, fine_tuning: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlatformError, match="Model gpt-2 is not available for fine-tuning"):
        tune(home, fine_tuning.url, model="gpt-2")
    with pytest.raises(PlatformError, match=r"answered 400: .*beta"):
        tune(home, fine_tuning.url, beta=9.0)
    with pytest.raises(PlatformError, match=r"answered 400: .*length.*suffix"):
        tune(home, fine_tuning.url, suffix="x" * 65)
    monkeypatch.setattr(steps, "rows_of", lambda sets, method: [b'{"prompt":"Hi"}\n'] * 12)
    with pytest.raises(PlatformError, match=r"ended as failed: Invalid file format\. Line 1: .*prompt"):
        tune(home, fine_tuning.url, epochs=4)
    monkeypatch.setattr(steps, "rows_of", lambda sets, method: [b"no json\n"] * 12)
    with pytest.raises(PlatformError, match=r"Expected file to have JSONL format\. Line 1"):
        tune(home, fine_tuning.url, epochs=5)
    monkeypatch.setattr(steps, "rows_of", lambda sets, method: [b"{}\n"] * 9)
    asked = len(fine_tuning.asked)
    with pytest.raises(NothingToTrain, match="9 rows, and platforms want 10"):
        tune(home, fine_tuning.url, epochs=6)
    assert len(fine_tuning.asked) == asked


def test_rows_leave_out_what_would_be_refused(home: Path) -> None:
    one = stored(home).train[0]

    def given(replies: tuple[str, ...], *roles: str) -> ChoiceSet:
        messages = tuple(Message(role=role, content="Hi") for role in roles or ("user",))  # type: ignore[arg-type]
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        return ChoiceSet(**fields | {"replies": replies, "chosen": 0, "messages": messages})

    assert [*rows_of([given(("a", "b"), "user", "tool", "user")], "dpo")] == []
    assert [*rows_of([given(("a", "b"), "user", "tool", "user")], "sft")] == []
    assert len([*rows_of([given(("a", "b", "b", "a", " "))], "dpo")]) == 1
    assert [*rows_of([given((" ", "b"))], "dpo")] == [*rows_of([given((" ", "b"))], "sft")] == []


def test_the_command(home: Path, fine_tuning: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path for path in home.rglob("*"))
    ended = run(home, fine_tuning.url, "--dry-run")
    assert ended.exit_code == 0, ended.output
    rows = stored(home)
    count = sum(1 for _ in rows_of(rows.train, "dpo"))
    assert f"would send {count} rows of dataset {rows.version.id[:12]} to {fine_tuning.url}" in ended.stdout
    assert fine_tuning.asked == []
    assert sorted(path for path in home.rglob("*")) == before

    fine_tuning.steps = ("succeeded",)
    options = ("--method", "sft", "--epochs", 3, "--suffix", "night")
    ended = run(home, fine_tuning.url, rows.version.id[:8], *options)
    assert ended.exit_code == 0, ended.output
    (made,) = Registry(home / "registry").versions()
    assert f"picktune gate challenge {made.name}" in ended.stdout
    assert made.method == "sft"
    assert "sk-good" not in ended.output
    assert not any(b"sk-good" in path.read_bytes() for path in home.rglob("*") if path.is_file())

    monkeypatch.delenv(KEY)
    ended = run(home, fine_tuning.url)
    assert isinstance(ended.exception, PlatformError)
    assert KEY in str(ended.exception)


def test_a_damaged_version_is_seen(home: Path, fine_tuning: Any) -> None:
    fine_tuning.steps = ("succeeded",)
    made = tune(home, fine_tuning.url)
    registry = Registry(home / "registry")
    path = registry.folder(made.name) / REMOTE
    good = path.read_bytes()
    path.write_bytes(good.replace(b"127.0.0.1", b"192.0.2.7"))
    with pytest.raises(AdapterCorrupt):
        registry.verify(made.name)
    path.write_bytes(good)
    assert registry.verify(made.name) == made


def test_openais_own_client_gets_on_with_the_platform(home: Path, fine_tuning: Any) -> None:
    """It is the platform of the tests that is tested here: as strict as OpenAI's, and of its form."""
    lines = b"".join(rows_of(stored(home).train, "dpo"))
    with OpenAI(base_url=fine_tuning.url, api_key="sk-good", max_retries=0) as client:
        file = client.files.create(file=("rows.jsonl", lines), purpose="fine-tune")
        method: Any = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}
        job = client.fine_tuning.jobs.create(
            model=MODEL, training_file=file.id, method=method, metadata={"a": "b"}
        )
        seen = [client.fine_tuning.jobs.retrieve(job.id).status for _ in range(4)]
        assert seen == ["validating_files", "queued", "running", "succeeded"]
        assert [one.id for one in client.fine_tuning.jobs.list(limit=5)] == [job.id]
        assert len([*client.fine_tuning.jobs.list_events(job.id)]) == 2
        model = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
        assert model is not None
        said = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], n=2)
        assert len(said.choices) == 2
        with pytest.raises(BadRequestError, match="invalid training_file"):
            client.fine_tuning.jobs.create(model=MODEL, training_file="file-0")
