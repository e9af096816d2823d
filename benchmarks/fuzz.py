"""Coverage-guided fuzzing of the loaders and the splitter: ``python -m benchmarks.fuzz KIND [--seconds N]``.

KIND is the suffix of a file, such as ``pdf``. It begins with the files in ``benchmarks/corpus/KIND`` and
makes new ones of them that reach further (they go to ``--work``). A file counts as found where reading it
takes more than ten seconds or 2 GB, brings Python down, or gives a document that is not true to itself; it is
left in the working folder as ``crash-...``, ``timeout-...`` or ``oom-...``. Once mended, such a file belongs
in the corpus: ``tests/test_fuzz.py`` reads all that is there. Needs atheris: ``pip install -e '.[fuzz]'``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from kb.errors import SourceError
from kb.types import Document

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 10
MEGABYTES = 2048
WATCHED = (
    *("ingest", "kb.text", "pypdf", "docx", "openpyxl", "markdown_it", "striprtf", "trafilatura", "htmldate"),
    *("dateutil", "email", "mailbox", "zipfile", "csv", "yaml", "charset_normalizer", "msoffcrypto"),
)
"""Where new paths through the code are looked for."""


def read(data: bytes, kind: str) -> None:
    """Read a file as ingestion does, in this process; raises where something is not as promised."""
    from ingest.load import parse

    name = f"a.{kind}"
    try:
        documents = parse(data, name, source=f"/{name}", name=name).documents
    except SourceError:
        return
    except (AssertionError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  the child process that files are read in turns these into a refusal
        return
    for document in documents:
        assert_true_to_itself(document)


def assert_true_to_itself(document: Document) -> None:
    """Sections, pages and passages are places in the text, and the passages miss nothing of it."""
    from ingest.split import split

    assert document.text.strip()
    for section in document.sections:
        assert document.text[section.start :].split("\n")[0] == section.title
    assert list(document.page_starts) == sorted(document.page_starts)
    assert all(0 <= start <= len(document.text) for start in document.page_starts)
    passages = split(document, lambda texts: [len(text) // 4 for text in texts])
    assert [p.text for p in passages] == [document.text[p.start : p.end] for p in passages]
    assert "".join("".join(p.text for p in passages).split()) == "".join(document.text.split())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(folder.name for folder in CORPUS.iterdir()))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--work", type=Path, help="a folder for what is made and found")
    chosen = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install -e '.[fuzz]'")
    work = chosen.work or Path(tempfile.mkdtemp(prefix=f"fuzz-{chosen.kind}-"))
    (work / "made").mkdir(parents=True, exist_ok=True)
    seeds = CORPUS / chosen.kind
    with atheris.instrument_imports(include=list(WATCHED)):
        for file in seeds.iterdir():  # parsers are imported when they are first used
            read(file.read_bytes(), chosen.kind)
    print(f"what is found goes to {work}", flush=True)
    bounds = [f"-max_total_time={chosen.seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"]
    folders = [f"-artifact_prefix={work}/", str(work / "made"), str(seeds)]
    atheris.Setup([sys.argv[0], *bounds, *folders], lambda data: read(data, chosen.kind))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
