"""A LangChain chat model, kept on a short lead: opened by name, timed, tried again, cancelled, remembered.

``open_model`` takes a name as LangChain's ``init_chat_model`` does (``openai:gpt-5``, ``ollama:llama3.2``)
or a ``BaseChatModel``. ``ChatModel.stream`` gives what the model writes as it grows, within the ``Budget`` of
the question. Whatever goes wrong there is a ``ModelError`` in words of our own: a provider's message may
repeat the key or the prompt, so none is passed on. Keys stay in the environment, where the provider's package
finds them.

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
from dataclasses import asdict, dataclass, replace
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
_LETTERS_PER_TOKEN = 3.0  # until the model has said how it counts; cautious, English has about four
_REMEMBERED = 2_000  # replies that are kept on disk
_EXTRAS = ("anthropic", "google-genai", "mistralai", "ollama", "openai")  # as in pyproject.toml
_KEY_NAME = re.compile(r"\b[A-Z][A-Z0-9_]*_(?:API_KEY|TOKEN)\b")
_ADDRESS_NAME = re.compile(r"_(?:BASE_URL|API_BASE|ENDPOINT|HOST)$")  # where providers' packages look
_PACKAGE = re.compile(r"pip install (?:-U )?[\"'`]?([a-z0-9-]+)")


class TooLong(ModelError):
    """What the model was given is more than it can read."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation of the provider's own: ``text[start:end]`` of a reply is said to rest on ``quote``."""

    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model has written so far; ``usage`` is there when it has finished."""

    text: str
    usage: Usage | None = None
    cited: tuple[Cited, ...] = ()


class Budget:
    """What a question may take of a chat model in all: calls (tries count), tokens, and seconds.

    The seconds run from when the model is first asked.
    """

    def __init__(self, seconds: float, calls: int = 4, tokens: int = 1_000_000) -> None:
        self.seconds = seconds
        self.calls = calls
        self.tokens = tokens
        self.spent = NOTHING_USED
        self._deadline: float | None = None

    @property
    def deadline(self) -> float:
        """When the time is up, on the monotonic clock."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self.seconds
        return self._deadline

    def affords(self, calls: int, tokens: int) -> bool:
        """Whether so many calls that take so many tokens together can still be made."""
        used = self.spent.input_tokens + self.spent.output_tokens
        in_time = self._deadline is None or time.monotonic() < self._deadline
        return in_time and self.spent.calls + calls <= self.calls and used + tokens <= self.tokens


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

    _has_schemas = True  # until it has refused one

    def __init__(self, model: BaseChatModel, name: str, timeout_s: float, cache: Path | None = None) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self._model = model
        self._cache = cache
        self._letters_per_token = _LETTERS_PER_TOKEN

    @property
    def context(self) -> int | None:
        """How many tokens the model takes in, where LangChain knows."""
        known = self._profile("max_input_tokens")
        return int(known) if known else None

    def _profile(self, key: str) -> Any:
        return (getattr(self._model, "profile", None) or {}).get(key)

    def tokens(self, text: str) -> int:
        """About how many tokens a text has, as this model counts.

        By its own tokenizer where that is at hand, else by what it said of earlier texts. LangChain would
        fetch a tokenizer from the network, or send the text to be counted; neither is done here.
        """
        own = getattr(self._model, "custom_get_token_ids", None)
        tokenizer = getattr(self._model, "tokenizer", None)  # of a model that runs in this process
        own = own or getattr(tokenizer, "encode", None)
        return len(own(text)) if own else round(len(text) / self._letters_per_token)

    def stream(
        self, messages: Messages, schema: Mapping[str, Any] | None = None, budget: Budget | None = None
    ) -> Iterator[Reply]:
        """What the model writes, longer with each value; the last one has its usage.

        A model that keeps to a JSON schema is given ``schema``. What it takes is added to the ``budget``,
        whether it answers or fails. Closing the iterator cancels the call. Raises ``TooLong`` if the messages
        are more than it can read, ``ModelError`` if it is down, slow, refuses, writes nothing or without end,
        or the budget is used up.
        """
        budget = budget or Budget(self.timeout_s)
        with_schema = schema if self._has_schemas and self._profile("structured_output") else None
        kept = self._kept(messages, with_schema)
        if kept and (reply := _read(kept)):
            yield reply
            yield replace(reply, usage=NOTHING_USED)
            return
        reply = Reply("")
        for reply in self._in_time(messages, with_schema, budget):
            yield reply
        if kept:
            _write(kept, reply)

    def _in_time(
        self, messages: Messages, schema: Mapping[str, Any] | None, budget: Budget
    ) -> Iterator[Reply]:
        """Try until there is a reply or nothing is left to spend."""
        size = sum(self.tokens(text) for _, text in messages)
        failures = NOTHING_USED
        if not budget.affords(1, size):
            raise ModelError(f"what a question may take of the chat model {self.name} is used up")
        for attempt in range(1, TRIES + 1):
            try:
                for reply in self._once(messages, schema, budget):
                    if reply.usage:
                        budget.spent += reply.usage
                        self._learn(messages, reply.usage)
                        reply = replace(reply, usage=failures + reply.usage)
                    yield reply
                return
            except _Failed as failed:
                failures += failed.usage
                budget.spent += failed.usage
                again = attempt < TRIES and budget.affords(1, size)
                if failed.refused and schema and again:  # the server is not who its model's name says
                    self._has_schemas, schema = False, None
                    continue
                wait = max(failed.retry_after, _WAIT_S * 2 ** (attempt - 1))
                if not failed.passing or not again or time.monotonic() + wait >= budget.deadline:
                    kind = TooLong if failed.too_long else ModelError
                    raise kind(f"the chat model {self.name} {failed.what}") from None
                time.sleep(wait)

    def _once(self, messages: Messages, schema: Mapping[str, Any] | None, budget: Budget) -> Iterator[Reply]:
        # The call runs in a thread of its own: only so can it be left behind when it hangs.
        chunks: queue.Queue[Any] = queue.Queue()
        stop = threading.Event()
        thread = threading.Thread(
            target=self._pump, args=(messages, schema, chunks, stop), name="kbqa-model", daemon=True
        )
        thread.start()
        written, finished = _Written(), False
        try:
            while not finished:
                before = len(written.text)
                for chunk in _waiting(chunks, budget.deadline):
                    if isinstance(chunk, Exception):
                        raise _explained(chunk, budget.seconds)
                    if chunk is None:
                        finished = True
                        break
                    written.add(chunk)
                if len(written.text) > LONGEST:
                    raise _Failed("wrote without end")
                if len(written.text) > before:
                    yield Reply(written.text, cited=written.cited)
            if not written.text.strip():
                raise _Failed("wrote nothing")
        except queue.Empty:
            raise self._spent(_Failed(f"did not answer within {budget.seconds:g} s"), written) from None
        except _Failed as failed:
            raise self._spent(failed, written) from None
        finally:
            stop.set()
        yield Reply(written.text, self._usage(written), written.cited)

    def _usage(self, written: _Written) -> Usage:
        told = written.usage or {}
        read, wrote = told.get("input_tokens", 0), told.get("output_tokens", 0)
        return Usage(1, read, wrote, _cost(self.name, told) if told else None)

    def _spent(self, failed: _Failed, written: _Written) -> _Failed:
        """A failure with what it took: nothing if the model had not begun to write."""
        failed.usage = self._usage(written) if written.text or written.usage else Usage(1, cost=0.0)
        return failed

    def _learn(self, messages: Messages, usage: Usage | None) -> None:
        """How many letters make a token, by what the model said that it read."""
        letters = sum(len(text) for _, text in messages)
        if usage and usage.calls == 1 and usage.input_tokens:
            self._letters_per_token = min(max(letters / usage.input_tokens, 1.0), 6.0)

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
        key = json.dumps([self.name, _set_up(self._model), list(messages), schema], ensure_ascii=False)
        return self._cache / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _set_up(model: BaseChatModel) -> dict[str, Any]:
    """What bears on the replies of a model besides its name: temperature, address and so on; no keys."""
    values: dict[str, Any] = {name: getattr(model, name, None) for name in type(model).model_fields}
    values |= {name: value for name, value in os.environ.items() if _ADDRESS_NAME.search(name)}
    return {
        name: value
        for name, value in sorted(values.items())
        if isinstance(value, str | int | float | bool) and not re.search("timeout|retr|key|token$", name)
    }


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


class _Written:
    """What came of a stream so far: chunks of blocks of text, which come one after the other."""

    def __init__(self) -> None:
        self.text = ""
        self.usage: dict[str, Any] | None = None
        self._blocks: dict[Any, tuple[int, int]] = {}  # where in the text each block lies
        self._cited: list[tuple[Any, dict[str, Any]]] = []  # annotations, with their blocks

    def add(self, chunk: Any) -> None:
        from langchain_core.messages.ai import add_usage

        if told := chunk.usage_metadata or _usage_told(chunk.response_metadata.get("token_usage")):
            self.usage = dict(add_usage(self.usage, told))  # type: ignore[arg-type]
        if isinstance(chunk.content, str):  # by far the most frequent; its blocks would be made for nothing
            self._write(None, chunk.content)
        else:
            for block in chunk.content_blocks:
                if block["type"] == "text":
                    self._write_block(block)
        for call in getattr(chunk, "tool_call_chunks", ()):  # words that are handed to a tool
            self._write("tool", call.get("args") or "")

    def _write_block(self, block: Any) -> None:
        words, annotations = block.get("text") or "", block.get("annotations") or ()
        # What has no number is a block by itself or, without words, belongs to the one before it.
        last = next(reversed(self._blocks), None)
        name = block.get("index", last if last is not None and not words else len(self.text))
        self._write(name, words)
        self._cited += [(name, dict(each)) for each in annotations]

    def _write(self, block: Any, words: str) -> None:
        start, _ = self._blocks.get(block, (len(self.text), 0))
        self.text += words
        self._blocks[block] = start, len(self.text)

    @property
    def cited(self) -> tuple[Cited, ...]:
        """The provider's citations of words of a source, each for the part of its block that it names."""
        found = []
        for block, annotation in self._cited:
            begin, end = self._blocks[block]
            if quote := annotation.get("cited_text"):
                first, last = annotation.get("start_index"), annotation.get("end_index")
                if isinstance(first, int) and isinstance(last, int) and 0 <= first < last <= end - begin:
                    begin, end = begin + first, begin + last
                found.append(Cited(begin, end, str(quote)))
        return tuple(found)


def _usage_told(raw: Any) -> dict[str, int] | None:
    """The tokens in what a provider told in its own terms: all there is of a streamed structured reply."""
    if not isinstance(raw, dict) or not isinstance(raw.get("prompt_tokens"), int):
        return None
    read, wrote = raw["prompt_tokens"], raw.get("completion_tokens") or 0
    return {"input_tokens": read, "output_tokens": wrote, "total_tokens": read + wrote}


def _cost(name: str, told: Mapping[str, Any]) -> float | None:
    """US dollars for so many tokens at the list prices that the installed package knows; else ``None``."""
    from genai_prices import Usage as Priced
    from genai_prices import calc_price

    provider, _, model = name.partition(":")
    details = told.get("input_token_details") or {}
    counted = Priced(
        input_tokens=told.get("input_tokens", 0),
        output_tokens=told.get("output_tokens", 0),
        cache_read_tokens=details.get("cache_read"),
    )
    try:
        return float(calc_price(counted, model_ref=model, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None


# -------------------------------------------------------------------------------------------- failing


class _Failed(Exception):
    """A call that failed; ``passing`` if another try may succeed, after ``retry_after`` seconds.

    ``refused``: the request as it stands, ``too_long``: what there was to read. ``usage`` is what it took.
    """

    def __init__(
        self,
        what: str,
        *,
        passing: bool = False,
        retry_after: float = 0.0,
        refused: bool = False,
        too_long: bool = False,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.passing = passing
        self.retry_after = retry_after
        self.refused = refused
        self.too_long = too_long
        self.usage = NOTHING_USED


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
    from langchain_core.exceptions import ContextOverflowError

    status = _status(error)
    if status == 413 or isinstance(error, ContextOverflowError) or _TOO_LONG.search(_said(error)):
        return _Failed(_STATUS[413], too_long=True)
    if status is not None:
        what = _STATUS.get(status, f"failed (HTTP {status})")
        passing = status in (408, 409, 425, 429) or status >= 500
        refused = status in (400, 422)
        return _Failed(what, passing=passing, retry_after=_retry_after(error), refused=refused)
    kind = type(error).__name__
    if "Timeout" in kind:
        return _Failed(f"did not answer within {timeout_s:g} s")
    if "Connect" in kind:
        return _Failed("cannot be reached", passing=True)
    return _Failed(f"failed ({kind})")


_TOO_LONG = re.compile(
    r"context.length|context.window|maximum context|too many tokens|prompt is too long", re.I
)


def _said(error: Exception) -> str:
    """What the provider said, to be looked into and not to be passed on."""
    return f"{getattr(error, 'code', '')} {error}" if _status(error) in (400, 422) else ""


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


def _read(kept: Path) -> Reply | None:
    try:
        value = json.loads(kept.read_text(encoding="utf-8"))
        return Reply(value["text"], cited=tuple(Cited(**each) for each in value["cited"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(kept: Path, reply: Reply) -> None:
    """Keep a reply; that it cannot be kept is no reason to fail."""
    value = {"text": reply.text, "cited": [asdict(each) for each in reply.cited]}
    draft = kept.with_name(f"{kept.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        draft.replace(kept)
        files = sorted(kept.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in files[:-_REMEMBERED]:
            path.unlink(missing_ok=True)
    except OSError:
        draft.unlink(missing_ok=True)
