"""One system of ``benchmarks/peers.py``, run by the Python of its own environment.

    python -P peer.py SYSTEM ingest FOLDER CORPUS MODEL     CORPUS: lines of {"id", "title", "text"}
    python -P peer.py SYSTEM ask FOLDER MODEL               questions on stdin, a JSON line for each on stdout

Each system is set up as its own documentation begins, and kept on disk as that says. Nothing is tuned, for
none: the splitters, stores and search have their usual settings. A title stands before the text. MODEL is the
folder of the embedding model, all-MiniLM-L6-v2, the same files for all of them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TOP = 10
"""So many passages each system is asked for."""

Row = dict[str, Any]
Passages = Sequence[tuple[str, str]]
"""The document and the text of each, best first."""
Ask = Callable[[str], Row]


def passages_only(found: Passages) -> Row:
    """What a system says that only searches: it never refuses, and quotes nothing."""
    return {"answered": True, "quotes": [], "passages": found}


def texts(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row["id"], "\n\n".join(filter(None, (row.get("title"), row["text"])))) for row in rows]


# ---------------------------------------------------------------------------------------------- kbqa


def kbqa_ingest(folder: Path, corpus: Path, model: str) -> None:
    from ingest.sync import ingest
    from kb.settings import Settings
    from kb.store import Store

    with Store.open(folder, Settings(kb=folder, cache=folder / "cache"), create=True) as store:
        report = ingest([str(corpus)], store)
    assert not report.failed, report.failed


def kbqa_open(folder: Path, model: str) -> Ask:
    from kb.pipeline import KnowledgeBase
    from kb.settings import Settings

    kb = KnowledgeBase.open(folder, Settings(kb=folder, cache=folder / "cache"))

    def ask(question: str) -> Row:
        answer = kb.ask(question)
        return {
            "answered": answer.status == "answered",
            "quotes": [citation.quote for citation in answer.citations],
            "passages": [(hit.passage.document_id, hit.passage.text) for hit in answer.hits[:TOP]],
        }

    return ask


def kbqa_search_open(folder: Path, model: str) -> Ask:
    from kb.pipeline import KnowledgeBase
    from kb.settings import Settings

    kb = KnowledgeBase.open(folder, Settings(kb=folder, cache=folder / "cache"))
    return lambda question: passages_only(
        [(hit.passage.document_id, hit.passage.text) for hit in kb.search(question, top=TOP)]
    )


# ----------------------------------------------------------------------------------------- LangChain


def langchain_store(folder: Path, model: str) -> Any:
    from langchain_chroma import Chroma
    from langchain_huggingface import HuggingFaceEmbeddings

    return Chroma(
        collection_name="example_collection",
        embedding_function=HuggingFaceEmbeddings(model_name=model),
        persist_directory=str(folder),
    )


def langchain_ingest(folder: Path, corpus: Path, model: str) -> None:
    from langchain_core.documents import Document
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200, add_start_index=True)
    documents = [Document(page_content=text, metadata={"source": i}) for i, text in texts(read(corpus))]
    pieces = splitter.split_documents(documents)
    store = langchain_store(folder, model)
    for first in range(0, len(pieces), 5000):  # Chroma takes no more at once
        store.add_documents(documents=pieces[first : first + 5000])


def langchain_open(folder: Path, model: str) -> Ask:
    store = langchain_store(folder, model)
    return lambda question: passages_only(
        [(d.metadata["source"], d.page_content) for d in store.similarity_search(question, k=TOP)]
    )


# --------------------------------------------------------------------------------------------- txtai


def txtai_ingest(folder: Path, corpus: Path, model: str) -> None:
    from txtai import Embeddings

    embeddings = Embeddings(path=model, content=True)
    embeddings.index(texts(read(corpus)))
    embeddings.save(str(folder))


def txtai_open(folder: Path, model: str) -> Ask:
    from txtai import Embeddings

    embeddings = Embeddings()
    embeddings.load(str(folder))
    return lambda question: passages_only(
        [(row["id"], row["text"]) for row in embeddings.search(question, TOP)]
    )


# ---------------------------------------------------------------------------------------- LlamaIndex


def llamaindex_ingest(folder: Path, corpus: Path, model: str) -> None:
    from llama_index.core import Document, VectorStoreIndex
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    documents = [Document(text=text, id_=i) for i, text in texts(read(corpus))]
    index = VectorStoreIndex.from_documents(documents, embed_model=HuggingFaceEmbedding(model_name=model))
    index.storage_context.persist(persist_dir=str(folder))


def llamaindex_open(folder: Path, model: str) -> Ask:
    from llama_index.core import StorageContext, load_index_from_storage
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    context = StorageContext.from_defaults(persist_dir=str(folder))
    index = load_index_from_storage(context, embed_model=HuggingFaceEmbedding(model_name=model))
    retriever = index.as_retriever(similarity_top_k=TOP)
    return lambda question: passages_only(
        [(found.node.ref_doc_id, found.node.get_content()) for found in retriever.retrieve(question)]
    )


# ------------------------------------------------------------------------------------------ Haystack


def haystack_ingest(folder: Path, corpus: Path, model: str) -> None:
    from haystack import Document, Pipeline
    from haystack.components.preprocessors import DocumentSplitter
    from haystack.components.writers import DocumentWriter
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder,
    )

    store = InMemoryDocumentStore()
    pipeline = Pipeline()
    pipeline.add_component("splitter", DocumentSplitter())
    pipeline.add_component("embedder", SentenceTransformersDocumentEmbedder(model=model))
    pipeline.add_component("writer", DocumentWriter(document_store=store))
    pipeline.connect("splitter", "embedder")
    pipeline.connect("embedder", "writer")
    documents = [Document(content=text, meta={"source": i}) for i, text in texts(read(corpus))]
    pipeline.run({"splitter": {"documents": documents}})
    store.save_to_disk(str(folder / "store.json"))


def haystack_open(folder: Path, model: str) -> Ask:
    from haystack import Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersTextEmbedder,
    )

    store = InMemoryDocumentStore.load_from_disk(str(folder / "store.json"))
    pipeline = Pipeline()
    pipeline.add_component("embedder", SentenceTransformersTextEmbedder(model=model, progress_bar=False))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(document_store=store, top_k=TOP))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")

    def ask(question: str) -> Row:
        found = pipeline.run({"embedder": {"text": question}})["retriever"]["documents"]
        return passages_only([(d.meta["source"], d.content) for d in found])

    return ask


# ------------------------------------------------------------------------------------------ the runs

SYSTEMS: dict[str, tuple[Callable[[Path, Path, str], None], Callable[[Path, str], Ask]]] = {
    "kbqa": (kbqa_ingest, kbqa_open),
    "kbqa search": (kbqa_ingest, kbqa_search_open),
    "LangChain": (langchain_ingest, langchain_open),
    "txtai": (txtai_ingest, txtai_open),
    "LlamaIndex": (llamaindex_ingest, llamaindex_open),
    "Haystack": (haystack_ingest, haystack_open),
}


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    # One core for each. Threads that wait for each other would measure what else runs on the machine: with
    # two, txtai took 131 ms for a question on a busy one, and 8 ms with one.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    system, step, folder, *rest = sys.argv[1:]
    ingest, open_ = SYSTEMS[system]
    if step == "ingest":
        corpus, model = rest
        ingest(Path(folder), Path(corpus), model)
        return
    ask = open_(Path(folder), *rest)
    for line in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        answer = ask(json.loads(line))
        answer["seconds"] = time.perf_counter() - began
        answer["worked"] = time.process_time() - worked  # of all its threads
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
