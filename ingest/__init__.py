"""From files, folders, URLs and records to documents and passages in a knowledge base.

    source -load-> Document -split-> Passages -sync-> Store

``PIPELINE_VERSION`` is part of every content hash: raise it when loading or splitting gives other text
or other passages, so that the next ingestion reads everything again.
"""

from __future__ import annotations

PIPELINE_VERSION = "6"
