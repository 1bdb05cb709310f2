"""Settings come from the file, then the environment, then the arguments; nothing unknown slips through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from picktune.errors import InvalidSettings
from picktune.records import Sampling
from picktune.settings import Settings, load_settings, setting_names


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "picktune.toml"


def test_without_anything_the_defaults_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}) == Settings()


def test_a_file_in_the_working_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("picktune.toml").write_text('policy = "1+1"\n[sampling]\nmax_tokens = 40\n', "utf-8")
    settings = load_settings(environ={})
    assert (settings.policy, settings.sampling) == ("1+1", Sampling(max_tokens=40))


def test_later_sources_win_and_tables_are_merged(config: Path) -> None:
    config.write_text("port = 1\npoll = 9.0\nbatch = 3\n[sampling]\nmax_tokens = 1\ntop_p = 0.5\n", "utf-8")
    environ = {
        "PICKTUNE_PORT": "2",
        "PICKTUNE_POLL": "8",
        "PICKTUNE_SAMPLING__MAX_TOKENS": "2",
        "HOME": "/",
    }
    settings = load_settings(config, environ, port=3, host=None)
    assert (settings.port, settings.poll, settings.batch, settings.host) == (3, 8.0, 3, "127.0.0.1")
    assert settings.sampling == Sampling(max_tokens=2, top_p=0.5)


def test_the_environment_names_the_file(config: Path) -> None:
    config.write_text("reveal = true\n", "utf-8")
    assert load_settings(environ={"PICKTUNE_CONFIG": str(config), "PICKTUNE_CACHE": "/elsewhere"}).reveal


def test_what_the_scripts_read_is_no_setting() -> None:
    read = {
        name
        for script in (Path(__file__).parents[2] / "scripts").iterdir()
        for name in re.findall(r"\$\{?(PICKTUNE_[A-Z_]+)", script.read_text("utf-8"))
    }
    assert read
    assert load_settings(environ=dict.fromkeys(sorted(read), "x")) == Settings()


def test_lists_are_separated_by_commas_and_empty_is_none() -> None:
    settings = load_settings(environ={"PICKTUNE_ROLES": "user, model,", "PICKTUNE_MODEL": ""})
    assert (settings.roles, settings.model) == (("user", "model"), None)


def test_arguments_may_be_records_and_paths(tmp_path: Path) -> None:
    settings = load_settings(environ={}, sampling=Sampling(temperature=0.0), home=tmp_path, roles=["model"])
    assert (settings.sampling.temperature, settings.folder) == (0.0, tmp_path)
    assert (settings.log_path, settings.registry_path) == (tmp_path / "picktune.db", tmp_path / "registry")


@pytest.mark.parametrize(
    ("environ", "field", "says"),
    [
        ({"PICKTUNE_PROT": "1"}, "prot", "did you mean 'port'"),
        ({"PICKTUNE_PORT": "web"}, "port", "given: 'web'"),
        ({"PICKTUNE_PORT": "70000"}, "port", "65535"),
        ({"PICKTUNE_ENGINE": "gpt"}, "engine", "local, vllm"),
        ({"PICKTUNE_ROLES": "boss"}, "roles", "expert"),
        ({"PICKTUNE_POLICY": "9+9"}, "policy", "9.9"),
        ({"PICKTUNE_PREFIX": "/"}, "prefix", "regex"),
        ({"PICKTUNE_PREFIX": "/a/"}, "prefix", "regex"),
        ({"PICKTUNE_SAMPLING": "hot"}, "sampling", "no setting"),
        ({"PICKTUNE_SAMPLING__HEAT": "1"}, "sampling.heat", "no setting"),
        ({"PICKTUNE_CORS_ORIGINS": "*"}, "cors_origins", "regex"),
        ({"PICKTUNE_VLLM_URL": "localhost:8000"}, "vllm_url", "regex"),
        ({"PICKTUNE_REVEAL": "maybe"}, "reveal", "bool"),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], field: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says) as caught:
        load_settings(environ=environ)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"prot = 1", "prot"),
        (b'port = "1"', "port"),
        (b"sampling = 3", "sampling"),
        (b"[sampling]\nheat = 1", "sampling.heat"),
        (b"[port]\nx = 1", "port"),
        (b"port = ", None),
        (b'model = "\xff"', None),
    ],
)
def test_a_wrong_file_is_named(config: Path, content: bytes, field: str | None) -> None:
    config.write_bytes(content)
    with pytest.raises(InvalidSettings, match=r"picktune\.toml") as caught:
        load_settings(config, {})
    assert caught.value.field == field


def test_a_file_that_was_asked_for_must_be_there(config: Path) -> None:
    with pytest.raises(InvalidSettings, match="No such file"):
        load_settings(config, {})
    with pytest.raises(InvalidSettings, match="No such file"):
        load_settings(environ={"PICKTUNE_CONFIG": str(config)})


def test_the_key_of_vllm_is_never_shown() -> None:
    settings = load_settings(environ={"PICKTUNE_VLLM_KEY": "sk-secret"})
    assert settings.vllm_key == "sk-secret"
    assert "sk-secret" not in repr(settings)
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environ={}, vllm_key=["sk-secret"])
    assert "sk-secret" not in str(caught.value)


def test_every_setting_has_a_name() -> None:
    assert {"port", "sampling.max_tokens"} < set(setting_names())


def test_every_setting_is_documented_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*?) \|", page, re.MULTILINE))
    assert list(rows) == setting_names()
    for name, written in rows.items():
        value: Any = Settings()
        for part in name.split("."):
            value = getattr(value, part)
        if isinstance(value, bool):
            assert written == str(value).lower(), name
        elif isinstance(value, int | float):
            assert float(written) == value, name
        elif isinstance(value, tuple):
            assert written == (", ".join(f"`{one}`" for one in value) or "none"), name
        elif value:
            assert written == f"`{value}`", name
