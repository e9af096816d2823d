"""A real small model, end to end: ``pytest -m slow``, with the packages of benchmarks/small_model.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.small_model import TOKENS, missing, open_smollm2
from kb.pipeline import KnowledgeBase

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}"),
]


@pytest.mark.filterwarnings("default")
def test_what_is_shown_of_a_poor_model_is_right_or_the_documents_own(library: KnowledgeBase) -> None:
    settings = replace(library.settings, model_tokens=TOKENS, model_timeout=600.0, unsupported="withhold")
    with KnowledgeBase.open(settings.kb, settings, model=open_smollm2()) as kb:
        answer = kb.ask("What is the repair of the harbour bridge expected to cost?")
    assert answer.status == "answered"
    assert answer.usage
    assert answer.usage.calls >= 1
    assert {sentence.support for sentence in answer.sentences} <= {"verbatim", "supported"}
    assert all(sentence.citations for sentence in answer.sentences)
    for citation in answer.citations:
        text = library.document(citation.document_id).text
        assert text[citation.start : citation.end] == citation.quote
