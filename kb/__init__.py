"""kbqa: ask a collection of articles and get an answer that proves itself.

>>> from kb import KnowledgeBase
>>> with KnowledgeBase.open(".kbqa") as kb:                # doctest: +SKIP
...     answer = kb.ask("What is driving the build-out?")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

__version__ = "0.1.0"
__all__ = ["KnowledgeBase", "__version__"]


def __getattr__(name: str) -> Any:
    # On first use, so that importing kb (and so `kbqa --help`) loads nothing heavy.
    if name == "KnowledgeBase":
        from kb.pipeline import KnowledgeBase

        return KnowledgeBase
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
