"""Settings: default < file < environment < flag, and nothing that is silently ignored."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from kb.errors import SettingsError
from kb.settings import FILE_NAME, Settings, load_settings


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_are_local() -> None:
    settings = load_settings(environ={})
    assert settings == Settings()
    assert (settings.kb, settings.embedder, settings.host) == (Path(".kbqa"), "minilm", "127.0.0.1")
    with pytest.raises(FrozenInstanceError):
        settings.top = 3  # type: ignore[misc]


def test_each_layer_wins_over_the_one_below() -> None:
    Path(FILE_NAME).write_text('top = 2\nport = 2\nhost = "file"\nembedder = "hash"\n')
    environ = {"KBQA_TOP": "3", "KBQA_PORT": "3"}
    settings = load_settings({"top": 4}, environ=environ)
    assert (settings.top, settings.port, settings.host, settings.embedder) == (4, 3, "file", "hash")


def test_a_flag_that_was_not_given_does_not_count() -> None:
    assert load_settings({"top": None, "kb": None}, environ={"KBQA_TOP": "7"}).top == 7


def test_other_variables_and_empty_ones_do_not_count() -> None:
    assert load_settings(environ={"KBQA_TOP": "", "TOP": "5", "kbqa_top": "6"}) == Settings()


def test_every_setting_can_come_from_each_layer(tmp_path: Path) -> None:
    values: dict[str, object] = {
        "kb": "k",
        "catalogue": "postgresql://db/news",
        "vectors": "http://127.0.0.1:8000",
        "embedder": "hash",
        "cache": "c",
        "top": 3,
        "host": "h",
        "port": 8000,
        "private_urls": True,
        "exact_reading": True,
    }
    values |= {"upload_rows": 9, "upload_megabytes": 8, "upload_files": 6, "upload_days": 7, "rate": 5}
    values |= {
        "hosts": "kb.example",
        "proxy": "10.0.0.1",
        "proxy_user": "X-User",
        "metrics": True,
        "mcp": True,
    }
    values |= {"model": "ollama:llama3.2", "model_timeout": 2.5, "model_tokens": 2000, "model_anyway": True}
    values |= {"model_calls": 6, "model_spend": 9000, "unsupported": "withhold"}
    assert set(values) == {field.name for field in fields(Settings)}, "a new setting belongs here"
    expected = Settings(**{**values, "kb": Path("k"), "cache": Path("c")})  # type: ignore[arg-type]
    assert load_settings(values, environ={}) == expected
    assert load_settings(environ={f"KBQA_{k.upper()}": str(v) for k, v in values.items()}) == expected
    file = tmp_path / "other.toml"
    file.write_text("\n".join(f"{k} = {json.dumps(v)}" for k, v in values.items()))
    assert load_settings(environ={}, file=file) == expected


@pytest.mark.parametrize(
    ("overrides", "environ", "file", "words"),
    [
        ({"tpo": 1}, {}, "", ["'tpo'", "the command", "top"]),
        ({}, {"KBQA_TPO": "1"}, "", ["'tpo'", "the environment"]),
        ({}, {}, "tpo = 1", ["'tpo'", FILE_NAME]),
        ({}, {}, "[models]\nname = 1", ["'models'"]),
        ({}, {}, "[model]\nname = 1", ["model", "text"]),
        ({}, {"KBQA_MODEL_TIMEOUT": "soon"}, "", ["model_timeout", "'soon'", "a number"]),
        ({"model_timeout": 0}, {}, "", ["model_timeout is 0"]),
        ({}, {"KBQA_MODEL_ANYWAY": "perhaps"}, "", ["model_anyway", "true or false"]),
        ({"model_tokens": 10}, {}, "", ["model_tokens is 10"]),
        ({"model_calls": 0}, {}, "", ["model_calls is 0", "1 or more"]),
        ({"model_spend": 8500}, {}, "", ["model_spend is 8500", "1000 more than model_tokens"]),
        ({"unsupported": "hide"}, {}, "", ["unsupported is 'hide'", "mark or withhold"]),
        ({}, {"KBQA_TOP": "many"}, "", ["top", "'many'", "whole number"]),
        ({}, {}, "top = true", ["top", "True"]),
        ({}, {}, "top = [1]", ["top", "[1]"]),
        ({}, {"KBQA_TOP": "0"}, "", ["top is 0", "1 to 100"]),
        ({}, {"KBQA_TOP": "101"}, "", ["top is 101"]),
        ({"port": 70000}, {}, "", ["port is 70000"]),
        ({"port": -1}, {}, "", ["port is -1"]),
        ({"embedder": "  "}, {}, "", ["embedder is empty"]),
        ({}, {}, "top = ", [FILE_NAME, "cannot be read"]),
        ({}, {}, "\x00", [FILE_NAME, "cannot be read"]),
    ],
)
def test_what_cannot_be_fails_by_name(
    overrides: dict[str, Any], environ: dict[str, str], file: str, words: list[str]
) -> None:
    if file:
        Path(FILE_NAME).write_text(file)
    with pytest.raises(SettingsError) as error:
        load_settings(overrides, environ=environ)
    assert error.value.cure
    assert error.value.exit_code == 2
    assert [word for word in words if word not in str(error.value)] == []


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        load_settings(environ={}, file=tmp_path / "nowhere.toml")
    Path(FILE_NAME).write_bytes(b'host = "\xff"')
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(environ={})
    Path(FILE_NAME).unlink()
    Path(FILE_NAME).mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(environ={})
