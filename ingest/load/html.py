"""Web pages: the main text by trafilatura with headings kept, the metadata as the page states it.

Metadata come from JSON-LD, then OpenGraph and other meta tags, then trafilatura's reading of the page.
Nothing is fetched. Where trafilatura finds next to nothing on a small page, the text of its main part is
taken instead, without navigation and notices.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from html import unescape
from typing import Any

from ingest.load.blocks import Block, Draft, is_byline, paragraph, without_byline
from ingest.load.dates import iso_date
from ingest.load.decode import decode
from kb.errors import SourceError

SMALL_PAGE = 6000
"""Characters of main text up to which trafilatura's result is compared with all of it."""


def read(data: bytes, name: str) -> Draft:
    """Read a web page; raises ``SourceError`` where there is no markup or text at all."""
    page = _parse(decode_page(data))
    fields = {name: value or None for name, value in _metadata(page).items()}
    bylines = _bylines(page, fields)
    found = [block for block in _main_blocks(page) if block.level or block.text not in bylines]
    return without_byline(Draft(found, "text/html", **fields))


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What no page means and XML cannot hold."""


def fragment_blocks(fragment: str) -> list[Block]:
    """The blocks of a piece of HTML, such as stands in Markdown or in a record."""
    try:
        return _blocks(_parse(fragment))
    except SourceError:
        return []


def decode_page(data: bytes) -> str:
    """The declared encoding counts only where the bytes are no valid UTF-8."""
    match = re.search(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", data[:4096], re.IGNORECASE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if match is None:
            return decode(data)
    try:
        return data.decode(match[1].decode("ascii"), errors="replace")
    except LookupError:
        return decode(data)


def _parse(text: str) -> Any:
    """An lxml tree; bytes go in, since lxml refuses a string that declares an encoding."""
    from lxml import etree
    from lxml import html as lxml_html

    parser = lxml_html.HTMLParser(encoding="utf-8", no_network=True)
    try:
        return lxml_html.document_fromstring(_CONTROL.sub("", text).encode("utf-8", "ignore"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise SourceError("the page is empty", "check that it was saved completely") from error


# --------------------------------------------------------------------------------------- main text


def _main_blocks(page: Any) -> list[Block]:
    extracted = _extracted(page)
    whole = _blocks(_main_part(page))
    small = _size(whole) <= SMALL_PAGE and _size(extracted) < _size(whole) / 4
    # Where there was nothing to leave out, the page's own structure is the better one.
    same = 0.95 * _size(extracted) <= _size(whole) <= 1.1 * _size(extracted)
    return whole if not extracted or small or same else extracted


def _bylines(page: Any, fields: dict[str, str | None]) -> set[str]:
    """The texts that are marked as bylines, wherever they stand, and only repeat the metadata."""
    # A name inside a sentence may be marked too, and belongs to the sentence.
    marked = (
        _text(element)
        for element in page.xpath("//body//*[@class]")
        if element.tag in _BLOCK_TAGS and _BYLINE.search(element.get("class").lower())
    )
    return {t for t in marked if is_byline(t, fields["author"], fields["publisher"], fields["published"])}


def _size(blocks: Iterable[Block]) -> int:
    return sum(len(block.text) for block in blocks)


def _extracted(page: Any) -> list[Block]:
    """The main text as trafilatura finds it."""
    from copy import deepcopy

    from trafilatura import bare_extraction

    # It logs a warning for each page without an article, and the loader has its own answer to that.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    found = bare_extraction(
        deepcopy(page), include_comments=False, include_formatting=True, include_tables=True
    )
    return [] if found is None else _blocks(found.body)  # type: ignore[union-attr]


def _main_part(page: Any) -> Any:
    articles = page.xpath("//article[not(ancestor::article)]")
    mains = page.xpath("//main | //*[@role='main']")
    if len(articles) == 1:
        return articles[0]
    return mains[0] if mains else page.find("body") if page.find("body") is not None else page


_SKIPPED = frozenset({
    "script", "style", "noscript", "template", "nav", "footer", "aside", "form", "button", "select", "svg",
    "iframe", "title", "meta", "link", "object",
})  # fmt: skip
_ROLES = frozenset({
    "navigation", "dialog", "alertdialog", "banner", "contentinfo", "search", "complementary",
})  # fmt: skip
_NOTICE = re.compile(
    r"cookie|consent|newsletter|breadcrumb|share-|social|advert|promo|related-|sidebar|site-menu"
)
_BYLINE = re.compile(r"byline|dateline|author")
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_BLOCK_TAGS = frozenset({
    "p", "div", "section", "article", "main", "header", "body", "html", "li", "item", "dt", "dd", "summary",
    "details", "figure", "figcaption", "blockquote", "quote", "address", "center", "fieldset", "hgroup",
    "ul", "ol", "dl", "list", "hr", "tr", "td", "th", "row", "cell", "head",
})  # fmt: skip


def _blocks(element: Any) -> list[Block]:
    """The blocks below an element of an HTML tree or of trafilatura's own tree."""
    if element is None:
        return []
    walker = _Walker()
    walker.visit(element, bold=False)
    walker.flush()
    return walker.blocks


class _Walker:
    """Collects inline text until a block ends. ``prefix``, ``tight``, ``level`` hold for the next block."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.runs: list[tuple[str, bool]] = []
        self.prefix, self.tight, self.level, self.strong = "", False, 0, False

    def flush(self) -> None:
        text = "".join(text for text, _ in self.runs)
        if text.strip():
            if self.level or self.strong:
                line = self.prefix + " ".join(text.split())
                self.blocks.append(Block(line, self.level, self.tight, strong=self.strong))
            else:
                self.blocks += paragraph(self.runs, prefix=self.prefix, tight=self.tight)
            # What follows inside the same item stands below it, without a marker.
            self.tight, self.prefix = bool(self.prefix), ""
        self.runs = []

    def visit(self, element: Any, bold: bool) -> None:
        tag = element.tag if isinstance(element.tag, str) else ""
        if not tag or tag in _SKIPPED or _is_hidden(element) or _is_html_head(element):
            return
        if tag in ("br", "lb"):
            self.runs.append(("\n", bold))
        elif tag == "table" and not _is_layout(element):
            self._table(element)
        elif tag == "pre":
            self.flush()
            self.blocks.append(
                Block(element.text_content() if hasattr(element, "text_content") else _text(element))
            )
        elif tag in _BLOCK_TAGS or tag in _HEADINGS:
            self._block(element, tag, bold)
        else:
            self._inside(element, bold or tag in ("b", "strong") or element.get("rend") == "#b")

    def _block(self, element: Any, tag: str, bold: bool) -> None:
        rend = element.get("rend") or ""
        before = self.level, self.strong, self.tight
        self.flush()
        if tag in _HEADINGS or tag == "head":
            # trafilatura makes a head without rank of the summary of a fold-out.
            self.level = _HEADINGS.get(tag) or _HEADINGS.get(rend, 0)
            self.strong, self.tight = not self.level, False
        elif tag in ("dt", "summary") or rend.startswith("dt"):
            self.strong, self.tight = True, False
        elif tag == "dd" or rend.startswith("dd"):
            self.tight = True
        elif tag in ("li", "item"):
            self.prefix, self.tight = _marker(element), _is_later_item(element)
        elif not self.prefix:
            self.tight = False
        self._inside(element, bold)
        self.flush()
        self.level, self.strong, self.tight = before
        if tag in ("li", "item"):
            self.prefix = ""

    def _inside(self, element: Any, bold: bool) -> None:
        self._add(element.text, bold)
        for child in element:
            self.visit(child, bold)
            self._add(child.tail, bold)

    def _add(self, text: str | None, bold: bool) -> None:
        if text:
            self.runs.append((re.sub(r"\s+", " ", text), bold))

    def _table(self, table: Any) -> None:
        self.flush()
        first = True
        for row in table.iter("tr", "row"):
            cells = [_text(cell) for cell in row if cell.tag in ("td", "th", "cell")]
            if any(cells):
                self.blocks.append(Block(" | ".join(cells), tight=not first))
                first = False


def _text(element: Any) -> str:
    return " ".join(" ".join(element.itertext()).split())


def _is_html_head(element: Any) -> bool:
    """The head of a page, not a heading in trafilatura's tree, which has the same name."""
    parent = element.getparent()
    return element.tag == "head" and parent is not None and parent.tag == "html"


def _is_hidden(element: Any) -> bool:
    if (
        element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or element.get("role") in _ROLES
    ):
        return True
    names = f"{element.get('class') or ''} {element.get('id') or ''}".lower()
    return element.tag not in ("body", "html", "article", "main") and bool(_NOTICE.search(names))


def _is_layout(table: Any) -> bool:
    return (
        next(table.iter("h1", "h2", "h3", "p", "article"), None) is not None and table.find(".//th") is None
    )


def _marker(item: Any) -> str:
    parent = item.getparent()
    if parent is None or (parent.tag != "ol" and parent.get("rend") != "ol"):
        return "- "
    return f"{1 + sum(1 for sibling in item.itersiblings(item.tag, preceding=True))}. "


def _is_later_item(item: Any) -> bool:
    """Whether an item follows another of its list, or opens a list inside an item."""
    if item.getprevious() is not None:
        return True
    return any(ancestor.tag in ("li", "item") for ancestor in item.iterancestors())


# ---------------------------------------------------------------------------------------- metadata


def _metadata(page: Any) -> dict[str, str | None]:
    """title, author, publisher, published, updated, url and language as far as the page states them."""
    linked = next(iter(sorted(_json_ld(page), key=_rank)), {})
    meta = _meta_tags(page)
    guess = _guessed(page)
    canonical = page.xpath("string(//link[@rel='canonical']/@href)").strip()
    site = _name(linked.get("publisher")) or meta(
        "og:site_name", "dc.publisher", "dcterms.publisher", "application-name"
    )
    title = _plain(linked.get("headline")) or meta("og:title", "dc.title", "twitter:title") or _title(page)
    return {
        "title": _without_site(title, site),
        "author": _name(linked.get("author"))
        or _name(meta("author", "article:author", "byl", "dc.creator"))
        or _name(guess.author),
        "publisher": site,
        "published": _first_date(
            linked.get("datePublished"),
            meta(
                "article:published_time",
                "datepublished",
                "date",
                "dc.date",
                "dcterms.date",
                "pubdate",
                "parsely-pub-date",
            ),
            page.xpath("string(//*[@itemprop='datePublished']/@*[name()='datetime' or name()='content'])"),
            page.xpath("string(//article//time/@datetime)"),
            guess.date,
        ),
        "updated": _first_date(
            linked.get("dateModified"),
            meta(
                "article:modified_time",
                "og:updated_time",
                "datemodified",
                "dcterms.modified",
                "dc.date.modified",
                "last-modified",
                "lastmod",
            ),
            page.xpath("string(//*[@itemprop='dateModified']/@*[name()='datetime' or name()='content'])"),
        ),
        "url": next(
            (u for u in (canonical, meta("og:url"), _url(linked)) if u.startswith(("http://", "https://"))),
            None,
        ),
        "language": _plain(linked.get("inLanguage"))
        or (page.get("lang") or "").strip()
        or meta("language", "og:locale")
        or None,
    }


def _guessed(page: Any) -> Any:
    from trafilatura.metadata import extract_metadata

    return extract_metadata(page, extensive=False)


def _json_ld(page: Any) -> Iterator[dict[str, Any]]:
    """Every object of the page's JSON-LD, those inside lists and ``@graph`` too."""
    for script in page.xpath("//script[@type='application/ld+json']"):
        text = re.sub(r"^\s*(?:<!--|//\s*<!\[CDATA\[)|(?:-->|//\s*\]\]>)\s*$", "", script.text or "")
        try:
            yield from _objects(json.loads(text, strict=False))
        except (ValueError, RecursionError):
            continue


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, dict):
        yield value
        yield from _objects(value.get("@graph"))
        yield from _objects(value.get("mainEntity"))


def _rank(thing: dict[str, Any]) -> int:
    """Articles first, then pages; a breadcrumb or an organisation says nothing about the article."""
    kinds = thing.get("@type")
    kinds = " ".join(map(str, kinds)) if isinstance(kinds, list) else str(kinds)
    if re.search(r"Article|Posting|Report\b", kinds):
        return 0
    if "headline" in thing or "datePublished" in thing:
        return 1
    return 2 if "WebPage" in kinds else 3


def _meta_tags(page: Any) -> Any:
    tags: dict[str, str] = {}
    for tag in page.iter("meta"):
        key = tag.get("property") or tag.get("name") or tag.get("itemprop")
        if key and tag.get("content"):
            tags.setdefault(key.strip().lower(), _plain(tag.get("content")))

    def first(*names: str) -> str:
        return next(
            (tags[n] for n in names if tags.get(n) and not (n.endswith("author") and "://" in tags[n])), ""
        )

    return first


def _plain(value: Any) -> str:
    value = next(iter(value), "") if isinstance(value, list) else value
    return " ".join(unescape(value).split()) if isinstance(value, str) else ""


def _name(value: Any) -> str:
    """The name of a person or organisation, several joined; a bare address is no name."""
    if isinstance(value, list):
        return ", ".join(dict.fromkeys(filter(None, map(_name, value))))
    if isinstance(value, dict):
        return _name(value.get("name"))
    name = re.sub(r"^by\s+", "", _plain(value), flags=re.IGNORECASE)
    return "" if "://" in name else name


def _url(thing: dict[str, Any]) -> str:
    main = thing.get("mainEntityOfPage")
    return _plain(thing.get("url")) or _plain(main.get("@id") if isinstance(main, dict) else main)


def _first_date(*values: Any) -> str | None:
    return next((day for value in values if (day := iso_date(_plain(value) or None))), None)


def _title(page: Any) -> str:
    heading = page.find(".//h1")
    return _plain(page.xpath("string(//head/title)")) or (_text(heading) if heading is not None else "")


def _without_site(title: str, site: str) -> str:
    """A page title without the site's name behind a dash or bar."""
    if site and title.lower().endswith(site.lower()):
        return title[: -len(site)].rstrip(" |\u2013\u2014-\u00b7:") or title
    return title
