"""A LangChain chat model, kept on a short lead: opened by name, timed, tried again, cancelled, remembered.

``open_model`` takes a name as LangChain's ``init_chat_model`` does (``openai:gpt-5``, ``ollama:llama3.2``)
or a ``BaseChatModel``. ``ChatModel.stream`` gives what the model writes as it grows. Whatever goes wrong
there is a ``ModelError`` in words of our own: a provider's message may repeat the key or the prompt, so none
is passed on. Keys stay in the environment, where the provider's package finds them.

LangChain is imported when a model is opened, since that takes longer than a question takes to answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb.errors import ModelError
from kb.types import NOTHING_USED, Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Messages = Sequence[tuple[str, str]]  # (role, text), where the role is system or human

LONGEST = 20_000  # characters of a reply; an answer has a few hundred
TRIES = 4
_WAIT_S = 0.5  # before the second try; doubles with each further one
_REMEMBERED = 2_000  # replies that are kept on disk
_EXTRAS = ("anthropic", "google-genai", "mistralai", "ollama", "openai")  # as in pyproject.toml
_KEY_NAME = re.compile(r"\b[A-Z][A-Z0-9_]*_(?:API_KEY|TOKEN)\b")
_PACKAGE = re.compile(r"pip install (?:-U )?[\"'`]?([a-z0-9-]+)")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model has written so far; ``usage`` is there when it has finished."""

    text: str
    usage: Usage | None = None


def open_model(model: str | BaseChatModel, timeout_s: float, cache: Path | None = None) -> ChatModel:
    """The chat model of that name, or the one given; raises ``ModelError`` with what is missing.

    Replies of a model that is opened by name are remembered in the folder ``cache``; of one that is handed
    in nobody knows how it was set up.
    """
    if not isinstance(model, str):
        return ChatModel(model, _name_of(model), timeout_s)
    return ChatModel(_by_name(model, timeout_s), model, timeout_s, cache and cache / "replies")


def _by_name(spec: str, timeout_s: float) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    try:
        # Tries are counted here, where the time that is left is known.
        return init_chat_model(spec, timeout=timeout_s, max_retries=0)
    except ImportError as error:
        found = _PACKAGE.search(str(error))
        package = found[1] if found else f"langchain-{spec.partition(':')[0]}"
        extra = package.removeprefix("langchain-")
        asked = f"'kbqa[{extra}]'" if extra in _EXTRAS else package
        raise ModelError(
            f"the chat model {spec} needs the package {package}", f"pip install {asked}"
        ) from None
    except Exception as error:  # noqa: BLE001  each provider's package has errors of its own
        if key := _KEY_NAME.search(str(error)):
            raise ModelError(
                f"there is no key for the chat model {spec}", f"put it into the environment as {key.group()}"
            ) from None
        raise ModelError(
            f"the chat model {spec!r} cannot be opened ({type(error).__name__})",
            "name a provider and one of its models, such as openai:gpt-5-mini or ollama:llama3.2",
        ) from None


def _name_of(model: BaseChatModel) -> str:
    known = model._get_ls_params()
    return f"{known.get('ls_provider') or 'model'}:{known.get('ls_model_name') or type(model).__name__}"


class ChatModel:
    """A chat model that answers in time or fails in a sentence; safe to share among threads."""

    def __init__(self, model: BaseChatModel, name: str, timeout_s: float, cache: Path | None = None) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self._model = model
        self._cache = cache

    @property
    def context(self) -> int | None:
        """How many tokens the model takes in, where LangChain knows."""
        known = self._profile("max_input_tokens")
        return int(known) if known else None

    def _profile(self, key: str) -> Any:
        return (getattr(self._model, "profile", None) or {}).get(key)

    def stream(self, messages: Messages, schema: Mapping[str, Any] | None = None) -> Iterator[Reply]:
        """What the model writes, longer with each value; the last one has its usage.

        A model that keeps to a JSON schema is given ``schema``. Closing the iterator cancels the call. Raises
        ``ModelError`` if the model is down, slow, refuses, or writes nothing or without end.
        """
        schema = schema if schema and self._profile("structured_output") else None
        kept = self._kept(messages, schema)
        if kept and (text := _read(kept)):
            yield Reply(text)
            yield Reply(text, NOTHING_USED)
            return
        reply = Reply("")
        for reply in self._in_time(messages, schema):
            yield reply
        if kept:
            _write(kept, reply.text)

    def _in_time(self, messages: Messages, schema: Mapping[str, Any] | None) -> Iterator[Reply]:
        """Try until there is a reply or the time is up."""
        deadline = time.monotonic() + self.timeout_s
        for attempt in range(1, TRIES + 1):
            try:
                yield from self._once(messages, schema, deadline, attempt)
                return
            except _Failed as failed:
                wait = max(failed.retry_after, _WAIT_S * 2 ** (attempt - 1))
                if not failed.passing or attempt == TRIES or time.monotonic() + wait >= deadline:
                    raise ModelError(f"the chat model {self.name} {failed.what}") from None
                time.sleep(wait)

    def _once(
        self, messages: Messages, schema: Mapping[str, Any] | None, deadline: float, attempt: int
    ) -> Iterator[Reply]:
        # The call runs in a thread of its own: only so can it be left behind when it hangs.
        chunks: queue.Queue[Any] = queue.Queue()
        stop = threading.Event()
        thread = threading.Thread(
            target=self._pump, args=(messages, schema, chunks, stop), name="kbqa-model", daemon=True
        )
        thread.start()
        text, tokens_in, tokens_out, finished = "", 0, 0, False
        try:
            while not finished:
                written = len(text)
                for chunk in _waiting(chunks, deadline):
                    if isinstance(chunk, Exception):
                        raise _explained(chunk, self.timeout_s)
                    if chunk is None:
                        finished = True
                        break
                    usage = chunk.usage_metadata or {}
                    tokens_in += usage.get("input_tokens", 0)
                    tokens_out += usage.get("output_tokens", 0)
                    text += _text(chunk)
                if len(text) > LONGEST:
                    raise _Failed("wrote without end")
                if len(text) > written:
                    yield Reply(text)
        except queue.Empty:
            raise _Failed(f"did not answer within {self.timeout_s:g} s") from None
        finally:
            stop.set()
        if not text.strip():
            raise _Failed("wrote nothing")
        yield Reply(text, Usage(attempt, tokens_in, tokens_out))

    def _pump(
        self,
        messages: Messages,
        schema: Mapping[str, Any] | None,
        chunks: queue.Queue[Any],
        stop: threading.Event,
    ) -> None:
        """Read the model's stream into ``chunks``, then ``None``; an error goes the same way."""
        from langsmith.run_helpers import tracing_context

        try:
            with tracing_context(enabled=False):  # what is asked goes to the provider and to nobody else
                for chunk in _bound(self._model, schema).stream(list(messages)):
                    chunks.put(chunk)
                    if stop.is_set():
                        return
            chunks.put(None)
        except Exception as error:  # noqa: BLE001  each provider's package has errors of its own
            chunks.put(error)

    def _kept(self, messages: Messages, schema: Mapping[str, Any] | None) -> Path | None:
        if self._cache is None:
            return None
        key = json.dumps([self.name, list(messages), schema], ensure_ascii=False)
        return self._cache / f"{hashlib.sha256(key.encode()).hexdigest()}.txt"


def _waiting(chunks: queue.Queue[Any], deadline: float) -> Iterator[Any]:
    """The next chunk, and those that came while the reader was busy; raises ``queue.Empty`` in the end."""
    yield chunks.get(timeout=max(0.0, deadline - time.monotonic()))
    while not chunks.empty():
        yield chunks.get()


def _bound(model: BaseChatModel, schema: Mapping[str, Any] | None) -> Any:
    """The model, told to keep to the schema; its words are parsed by the caller, who can do so early."""
    if schema is None:
        return model
    sequence = model.with_structured_output(dict(schema))
    return getattr(sequence, "first", model)


def read_json(text: str) -> Any:
    """JSON, also where it is cut off; raises ``ValueError`` for what is none."""
    from langchain_core.utils.json import parse_partial_json

    return parse_partial_json(text)


def _text(chunk: Any) -> str:
    """The new words in a chunk, be they said or handed to a tool."""
    called = "".join(call.get("args") or "" for call in getattr(chunk, "tool_call_chunks", ()))
    return str(chunk.text) + called


# -------------------------------------------------------------------------------------------- failing


class _Failed(Exception):
    """A call that failed; ``passing`` if another try may succeed, after ``retry_after`` seconds."""

    def __init__(self, what: str, *, passing: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(what)
        self.what = what
        self.passing = passing
        self.retry_after = retry_after


_STATUS = {
    400: "refused the request",
    401: "refused the key",
    403: "refused the key",
    404: "is not known to its provider",
    408: "was too slow",
    413: "found the passages too long",
    429: "has too much to do, or the quota is used up",
}


def _explained(error: Exception, timeout_s: float) -> _Failed:
    """What happened, in our words: the provider's may hold a key."""
    status = _status(error)
    if status is not None:
        what = _STATUS.get(status, f"failed (HTTP {status})")
        passing = status in (408, 409, 425, 429) or status >= 500
        return _Failed(what, passing=passing, retry_after=_retry_after(error))
    kind = type(error).__name__
    if "Timeout" in kind:
        return _Failed(f"did not answer within {timeout_s:g} s")
    if "Connect" in kind:
        return _Failed("cannot be reached", passing=True)
    return _Failed(f"failed ({kind})")


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    for value in (getattr(error, "status_code", None), getattr(response, "status_code", None)):
        if isinstance(value, int):
            return value
    return None


def _retry_after(error: Exception) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return max(0.0, float(headers.get("retry-after", 0)))
    except (TypeError, ValueError):  # a date; our own wait will do
        return 0.0


# ----------------------------------------------------------------------------------------- remembering


def _read(kept: Path) -> str:
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _write(kept: Path, text: str) -> None:
    """Keep a reply; that it cannot be kept is no reason to fail."""
    draft = kept.with_name(f"{kept.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(kept)
        files = sorted(kept.parent.glob("*.txt"), key=lambda path: path.stat().st_mtime)
        for path in files[:-_REMEMBERED]:
            path.unlink(missing_ok=True)
    except OSError:
        draft.unlink(missing_ok=True)
