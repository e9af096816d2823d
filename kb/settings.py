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
from typing import Any, get_type_hints

from kb.errors import SettingsError

FILE_NAME = "kbqa.toml"
PREFIX = "KBQA_"


def _default_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("kbqa")


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    ``kb``: folder of the knowledge base. ``catalogue``: a ``postgresql://`` address to keep it at instead.
    ``vectors``: address of a Chroma server (``http://``) for its vector index. ``embedder``: ``minilm``,
    ``sentence-transformers:NAME`` or ``langchain:PROVIDER:MODEL``. ``cache``: folder for the prepared model,
    shared by knowledge bases. ``top``: passages reported with an answer. ``host`` and ``port``: where the
    web app listens. Of what is uploaded there, ``upload_rows`` of a list, ``upload_files`` documents at once
    and ``upload_megabytes`` a file are the most that is taken, and ``upload_days`` is how long lists and
    their answers are kept. ``private_urls``: whether pages of this machine and of private networks may be
    fetched. ``exact_reading``: passages are read with less rounding, in twice the time; about one answer in
    twenty-five differs, mostly in a further sentence.

    For a page that others reach: ``hosts`` are the names it goes by, besides this machine's own, with commas
    between; ``rate`` is how many requests a minute a client may send that cost work (this machine itself is
    not counted). ``proxy`` is the address of a proxy before it, or several or networks, whose word on where
    a request comes from counts, and ``proxy_user`` the header in which it names whom it has logged in.
    ``metrics``: give figures for Prometheus at ``/metrics``. ``mcp``: offer ask, check and search to agents.

    ``model``: a chat model to word the answers, as LangChain names it (``openai:gpt-5-mini``); empty for
    none. ``model_timeout``: seconds it has for an answer. ``model_tokens``: how much it is given to read at
    most. ``model_calls`` and ``model_spend``: how often it may be asked for one question, and how many tokens
    it may read and write for it in all. ``model_anyway``: ask it even where the documents seem to hold no
    answer. ``unsupported``: whether its sentences that no source bears out are shown with a ``mark``, or
    ``withhold``; empty for the usual (marked in a conversation, withheld in a list).
    """

    kb: Path = Path(".kbqa")
    catalogue: str = ""
    vectors: str = ""
    embedder: str = "minilm"
    cache: Path = field(default_factory=_default_cache)
    top: int = 10
    host: str = "127.0.0.1"
    port: int = 7860
    private_urls: bool = False
    exact_reading: bool = False
    upload_rows: int = 5_000
    upload_megabytes: int = 20
    upload_files: int = 100
    upload_days: int = 7
    hosts: str = ""
    rate: int = 240
    proxy: str = ""
    proxy_user: str = ""
    metrics: bool = False
    mcp: bool = False
    model: str = ""
    model_timeout: float = 60.0
    model_tokens: int = 8000
    model_calls: int = 4
    model_spend: int = 40_000
    model_anyway: bool = False
    unsupported: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.top <= 100:
            raise SettingsError(f"top is {self.top}", "choose a number of passages from 1 to 100")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port is {self.port}", "choose a port from 0 to 65535 (0: any free one)")
        for name in ("upload_rows", "upload_megabytes", "upload_files", "upload_days", "rate", "model_calls"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}", "choose 1 or more")
        for name, schemes in (
            ("catalogue", ("postgresql://", "postgres://")),
            ("vectors", ("http://", "https://")),
        ):
            if (value := getattr(self, name)) and not value.startswith(schemes):
                raise SettingsError(
                    f"{name} is {value.rpartition('@')[2] or value!r}", f"give an address with {schemes[0]}"
                )
        if not self.embedder.strip():
            raise SettingsError("embedder is empty", "leave it out for the default, minilm")
        if self.proxy_user and not self.proxy:
            raise SettingsError(
                "proxy_user is set and proxy is not",
                "name the address of the proxy too: anybody could say it",
            )
        if not 0 < self.model_timeout <= 3600:
            raise SettingsError(
                f"model_timeout is {self.model_timeout:g}", "choose a number of seconds up to 3600"
            )
        if self.model_tokens < 1000:
            raise SettingsError(
                f"model_tokens is {self.model_tokens}", "give the model at least 1000 to read"
            )
        if self.model_spend < self.model_tokens + 1000:
            raise SettingsError(
                f"model_spend is {self.model_spend}",
                f"allow at least 1000 more than model_tokens, {self.model_tokens}",
            )
        if self.unsupported not in ("", "mark", "withhold"):
            raise SettingsError(f"unsupported is {self.unsupported!r}", "choose mark or withhold")


_TYPES: dict[str, type] = get_type_hints(Settings)
_WANTED = {int: "a whole number", float: "a number", bool: "true or false"}
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
    try:
        if kind is bool:
            return _YES_AND_NO[str(value).strip().lower()]
        if isinstance(value, bool | dict | list):
            raise TypeError
        return kind(value)
    except (TypeError, ValueError, KeyError):
        raise SettingsError(
            f"{key} from {origin} is {value!r}", f"give {_WANTED.get(kind, 'text')}"
        ) from None
