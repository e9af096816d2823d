"""Settings: one frozen value, passed in wherever it is needed.

Default < ``kbqa.toml`` in the current folder < ``KBQA_*`` in the environment < flag. An unknown key or an
impossible value fails by name, since a setting that is silently ignored is worse than none.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kb.errors import SettingsError

FILE_NAME = "kbqa.toml"
PREFIX = "KBQA_"


def _default_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("kbqa")


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    ``kb``: folder of the knowledge base. ``embedder``: ``minilm``, ``sentence-transformers:NAME`` or
    ``langchain:PROVIDER:MODEL``. ``cache``: folder for the prepared model, shared by knowledge bases.
    ``top``: passages reported with an answer. ``host`` and ``port``: where the web app listens. For lists
    that are uploaded there, ``upload_rows`` and ``upload_megabytes`` are the most that is taken, and
    ``upload_days`` is how long they and their answers are kept. ``private_urls``: whether pages of this
    machine and of private networks may be fetched.
    """

    kb: Path = Path(".kbqa")
    embedder: str = "minilm"
    cache: Path = field(default_factory=_default_cache)
    top: int = 10
    host: str = "127.0.0.1"
    port: int = 7860
    private_urls: bool = False
    upload_rows: int = 5_000
    upload_megabytes: int = 20
    upload_days: int = 7

    def __post_init__(self) -> None:
        if not 1 <= self.top <= 100:
            raise SettingsError(f"top is {self.top}", "choose a number of passages from 1 to 100")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port is {self.port}", "choose a port from 0 to 65535 (0: any free one)")
        for name in ("upload_rows", "upload_megabytes", "upload_days"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}", "choose 1 or more")
        if not self.embedder.strip():
            raise SettingsError("embedder is empty", "leave it out for the default, minilm")


_TYPES: dict[str, type] = {
    "kb": Path,
    "embedder": str,
    "cache": Path,
    "top": int,
    "host": str,
    "port": int,
    "private_urls": bool,
    "upload_rows": int,
    "upload_megabytes": int,
    "upload_days": int,
}
_YES_AND_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """The settings in force; ``overrides`` (flags) win, those that are ``None`` do not count.

    Raises ``SettingsError`` for an unknown key, a value of the wrong kind, or an unreadable file.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for origin, layer in (
        (FILE_NAME, _from_file(file or Path(FILE_NAME), required=file is not None)),
        ("the environment", _from_environment(environ)),
        ("the command", {k: v for k, v in (overrides or {}).items() if v is not None}),
    ):
        for key, value in layer.items():
            values[key] = _convert(key, value, origin)
    return Settings(**values)  # type: ignore[arg-type]


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"there is no settings file {path}", "check the path") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read ({error})", "correct or remove the file") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    return {k[len(PREFIX) :].lower(): v for k, v in environ.items() if k.startswith(PREFIX) and v != ""}


def _convert(key: str, value: object, origin: str) -> object:
    kind = _TYPES.get(key)
    if kind is None:
        known = ", ".join(f.name for f in fields(Settings))
        raise SettingsError(f"{origin} has an unknown setting {key!r}", f"the settings are {known}")
    if kind is int and isinstance(value, bool):
        raise SettingsError(f"{key} from {origin} is {value!r}", "give a whole number")
    try:
        return _YES_AND_NO[str(value).strip().lower()] if kind is bool else kind(value)
    except (TypeError, ValueError, KeyError):
        wanted = {int: "a whole number", bool: "true or false"}.get(kind, "text")
        raise SettingsError(f"{key} from {origin} is {value!r}", f"give {wanted}") from None
