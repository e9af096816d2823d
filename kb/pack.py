"""Evidence packs: a checked draft to hand on, with every quote, its source and the source's hash.

One report, six forms. Each is a pure function from the report and its receipt to the content of a file, and
holds no time of day: the same check gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

from kb import page, render
from kb.errors import UsageError
from kb.outputs import Receipt, harmless, new_receipt, place, receipt_facts, receipt_lines, with_sources
from kb.sheets import UNWRITABLE, TimelessArchive
from kb.types import CheckReport, Citation, DocumentSummary, Filters, Verdict

if TYPE_CHECKING:
    from docx.document import Document as WordFile
    from docx.text.paragraph import Paragraph

Make = Callable[[CheckReport, Receipt, str], str | bytes]

COLUMNS = (
    *("claim_number", "claim", "start", "end", "kind", "verdict", "confidence", "explanation"),
    *("quote", "title", "publisher", "author", "published", "url", "place", "content_hash", "correction"),
)

# How far a verdict can be read as a rating: it says what these sources say, not what is true, so what was
# not found has none.
RATINGS: Mapping[str, tuple[str, int | None]] = {
    "supported": ("Supported by the cited sources", 5),
    "contradicted": ("Contradicted by the cited sources", 1),
    "not_found": ("Not found in the sources searched", None),
}


def pack(
    report: CheckReport,
    info: Mapping[str, Any],
    documents: Sequence[DocumentSummary],
    suffix: str,
    *,
    title: str,
    filters: Filters,
) -> bytes:
    """The evidence on a checked text as a file of the kind that ``suffix`` names (``.html`` …).

    ``info`` and ``documents`` are those of the knowledge base, for the receipt; ``filters`` are those of the
    check.
    """
    receipt = new_receipt(info, documents, {"mode": "check", **asdict(filters)})
    cited = {citation.document_id for verdict in report.claims for citation in verdict.citations}
    made = FORMATS[suffix](report, with_sources(receipt, cited, documents), title)
    return made if isinstance(made, bytes) else made.encode("utf-8", "replace")


def suffix_of(target: Path) -> str:
    """The kind of pack that a file name asks for; raises ``UsageError`` for others."""
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{target.name} cannot be written", f"name a file that ends in one of {' '.join(FORMATS)}"
        )
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "make it first")
    return suffix


# --- people ------------------------------------------------------------------------------------------


def _html(report: CheckReport, receipt: Receipt, title: str) -> str:
    sources = ((s.document_id, s.title or "", s.content_hash or "") for s in receipt.sources)
    return "".join(
        (
            page.head_html(title, render.check_summary(report)),
            page.draft_html(report),
            page.tools_html(Counter(render.claim_class(v) for v in report.claims), "claims"),
            *(page.claim_row(n, verdict) for n, verdict in enumerate(report.claims, 1)),
            page.foot_html(receipt_facts(receipt), sources),
        )
    )


def _markdown(report: CheckReport, receipt: Receipt, title: str) -> str:
    head = f"# {render.escape_markdown(title)}\n\n{render.check_summary(report)}"
    body = render.check_markdown(report, "claim")
    return f"{head}\n\n{body}\n\n## Receipt\n\n{receipt_lines(receipt)}\n"


def _docx(report: CheckReport, receipt: Receipt, title: str) -> bytes:
    file = new_word_file(title)
    file.add_paragraph(render.check_summary(report))
    for n, verdict in enumerate(report.claims, 1):
        file.add_heading(f"{n}. {render.label(verdict)}", 2)
        file.add_paragraph(writable(verdict.claim))
        for line in render.why(verdict):
            file.add_paragraph().add_run(writable(line)).italic = True
        for citation in verdict.citations:
            add_citation(file, citation)
    file.add_heading("Receipt", 2)
    for name, value in receipt_facts(receipt):
        file.add_paragraph(writable(f"{name}: {value}"))
    for source in receipt.sources:
        file.add_paragraph(
            writable(f"{source.document_id}: {source.title or ''} ({source.content_hash or 'unknown'})"),
            "List Bullet",
        )
    return without_time(file)


def new_word_file(title: str) -> WordFile:
    """A file for Word with a title and nothing else."""
    from docx import Document

    file = Document()
    file.core_properties.author, file.core_properties.title = "kbqa", writable(title)[:255]
    file.add_heading(writable(title), 0)
    return file


def add_citation(file: WordFile, citation: Citation, *, numbered: bool = False) -> None:
    """A quote, and below it its source with a link to the words in it."""
    file.add_paragraph(f"“{writable(citation.quote)}”", "Intense Quote")
    line = file.add_paragraph(f"[{citation.n}] " if numbered else "")
    address = render.web_address(citation.url, citation.quote)
    if address:
        _word_link(line, address, writable(citation.title))
    else:
        line.add_run(writable(citation.title))
    facts = [*render.known_facts(citation, citation.section, citation.page), place(citation.to_dict())]
    line.add_run(writable(" · " + " · ".join(facts)))
    if citation.correction:
        file.add_paragraph(writable(f"Corrected: {citation.correction}"))


def _word_link(paragraph: Paragraph, address: str, text: str) -> None:
    """python-docx reads links but does not make them."""
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    link = OxmlElement("w:hyperlink")
    link.set(qn("r:id"), paragraph.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True))
    run = paragraph.add_run(text)
    run.underline = True
    link.append(run._r)
    paragraph._p.append(link)


def writable(text: str) -> str:
    """Text without what XML cannot hold."""
    return UNWRITABLE.sub("\ufffd", render.plain(text))


def without_time(file: WordFile) -> bytes:
    """The file as bytes, the same for the same content."""
    made, timeless = io.BytesIO(), io.BytesIO()
    file.save(made)
    with ZipFile(made) as parts, TimelessArchive(timeless, "w", ZIP_DEFLATED) as archive:
        for name in parts.namelist():
            archive.writestr(name, parts.read(name))
    return timeless.getvalue()


# --- machines ----------------------------------------------------------------------------------------


def _csv(report: CheckReport, receipt: Receipt, _: str) -> str:
    """A line for each citation of a claim, and one for a claim without any."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for n, verdict in enumerate(report.claims, 1):
        about = verdict.to_dict()
        own = [n, *(about[name] for name in COLUMNS[1:7]), " ".join(render.why(verdict))]
        for citation in verdict.citations or (None,):
            cells = [*own, *(_citation_cells(citation, receipt) if citation else [None] * 9)]
            writer.writerow(harmless(str(cell)) if cell is not None else "" for cell in cells)
    return file.getvalue()


def _citation_cells(citation: Citation, receipt: Receipt) -> Iterator[Any]:
    known = _cited(citation, receipt)
    yield from (known[name] for name in ("quote", "title", "publisher", "author", "published"))
    yield known["url_at_quote"]
    yield place(known)
    yield known["content_hash"]
    yield known["correction"]


def _json(report: CheckReport, receipt: Receipt, title: str) -> str:
    claims = [
        {**verdict.to_dict(), "citations": [_cited(citation, receipt) for citation in verdict.citations]}
        for verdict in report.claims
    ]
    whole = {"title": title, "text": report.text, "claims": claims, "receipt": receipt.to_dict()}
    return render.to_json(whole) + "\n"


def _cited(citation: Citation, receipt: Receipt) -> dict[str, Any]:
    """A citation with its address on the web at the quote, and the hash of its source."""
    hashes = {source.document_id: source.content_hash for source in receipt.sources}
    return {
        **citation.to_dict(),
        "url_at_quote": render.web_address(citation.url, citation.quote),
        "content_hash": hashes.get(citation.document_id),
    }


def _claim_review(report: CheckReport, receipt: Receipt, title: str) -> str:
    """schema.org ClaimReview for each claim; ``author`` and ``url`` are the publisher's to add."""
    reviews = [
        _review(verdict, receipt, title, n)
        for n, verdict in enumerate(report.claims, 1)
        if verdict.kind == "claim"
    ]
    text = json.dumps({"@context": "https://schema.org", "@graph": reviews}, ensure_ascii=False, indent=2)
    return text.replace("<", "\\u003c") + "\n"  # it is made to stand in a script element


def _review(verdict: Verdict, receipt: Receipt, title: str, n: int) -> dict[str, Any]:
    name, value = RATINGS[verdict.verdict]
    rating: dict[str, Any] = {"@type": "Rating", "alternateName": name}
    if value is not None:
        rating |= {"ratingValue": value, "worstRating": 1, "bestRating": 5}
    return {
        "@type": "ClaimReview",
        "@id": f"#claim-{n}",
        "claimReviewed": verdict.claim,
        "itemReviewed": {
            "@type": "Claim",
            "text": verdict.claim,
            "appearance": {"@type": "CreativeWork", "name": title},
        },
        "reviewAspect": "agreement with the cited sources",
        "reviewBody": " ".join(render.why(verdict)),
        "reviewRating": rating,
        "citation": [_quotation(_cited(citation, receipt)) for citation in verdict.citations],
    }


def _quotation(cited: Mapping[str, Any]) -> dict[str, Any]:
    source = {
        "@type": "Article",
        "headline": cited["title"],
        "publisher": cited["publisher"] and {"@type": "Organization", "name": cited["publisher"]},
        "author": cited["author"] and {"@type": "Person", "name": cited["author"]},
        "datePublished": cited["published"],
        "url": cited["url"],
        "identifier": _property("content_hash", cited["content_hash"]),
    }
    return {
        "@type": "Quotation",
        "text": cited["quote"],
        **({"url": cited["url_at_quote"]} if cited["url_at_quote"] else {}),
        "identifier": _property("place", place(cited)),
        "isPartOf": {name: value for name, value in source.items() if value},
    }


def _property(name: str, value: str | None) -> dict[str, Any] | None:
    return {"@type": "PropertyValue", "propertyID": name, "value": value} if value else None


FORMATS: Mapping[str, Make] = {
    ".html": _html,
    ".md": _markdown,
    ".docx": _docx,
    ".csv": _csv,
    ".json": _json,
    ".jsonld": _claim_review,
}
