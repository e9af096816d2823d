"""The web app: ``python app.py`` serves the page of ``kb.web`` over the knowledge base of the settings."""

from __future__ import annotations

import sys

from kb.errors import KBError
from kb.web.frame import build_app, page_options
from kb.web.server import build_server, main

__all__ = ["build_app", "build_server", "main", "page_options"]

if __name__ == "__main__":
    try:
        main()
    except KBError as error:
        print(f"kbqa: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
