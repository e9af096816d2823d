"""Feeds (RSS, Atom) and sitemaps: the addresses of the pages that they list."""

from __future__ import annotations

import re

from kb.errors import SourceError

HEAD = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>\s*)?(?:<\?[^>]*\?>\s*|<!--.*?-->\s*)*<(?:rss|feed|rdf:RDF|urlset|sitemapindex)\b",
    re.DOTALL,
)
"""How such a file begins."""

MOST = 1000
"""Pages of one feed that are read; a sitemap can list 50,000."""


def links(data: bytes) -> tuple[str, ...]:
    """The addresses in the order of the file, each once; raises ``SourceError`` if it is past reading."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise SourceError(f"this feed is damaged ({error})", "check the address in a browser") from error
    if root is None:
        raise SourceError("this feed is damaged", "check the address in a browser")
    found: dict[str, None] = {}
    for entry in root.iter("{*}item", "{*}entry", "{*}url", "{*}sitemap"):
        for place in entry.iterchildren("{*}link", "{*}loc"):
            address = (place.get("href") or place.text or "").strip()
            # Of the several links of an Atom entry the page itself has no rel or this one.
            if address and place.get("rel") in (None, "alternate"):
                found.setdefault(address)
    return tuple(found)[:MOST]
