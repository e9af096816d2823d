"""A knowledge base as one file, and back; both while others go on asking.

The catalogue holds everything, so its copy is the backup: the vector index is built again from it, without
embedding, when it is restored.
"""

from __future__ import annotations

import logging
from pathlib import Path

from kb.catalogue import Catalogue
from kb.errors import UsageError
from kb.settings import Settings
from kb.store import Store, create_folder, lock

log = logging.getLogger(__name__)


def back_up(store: Store, target: Path) -> int:
    """Write a copy of a knowledge base to the file ``target``; says how many documents it holds.

    Readers and a writer may go on: the copy is of one moment. Raises ``UsageError`` where the file is there.
    """
    if target.exists():
        raise UsageError(f"{target} is there already", "choose another name for the backup")
    store.catalogue.copy_to(target)
    copy = Catalogue.open_file(target)
    try:
        return copy.counts()[0]
    finally:
        copy.close()


def restore(source: Path, settings: Settings, *, replace: bool = False) -> int:
    """Make the knowledge base of ``settings`` what a backup holds; says how many documents that are.

    Raises ``UsageError`` where there is one already, unless ``replace``. Who asks meanwhile gets the old
    state, an error, or the new state, and never a mix.
    """
    folder = settings.kb
    if settings.catalogue:
        raise UsageError(
            "a backup is restored to a folder, and the setting catalogue names a server",
            "restore without that setting, then move it there with `kbqa migrate --to`",
        )
    if not source.is_file():
        raise UsageError(f"there is no backup {source}", "check the path")
    if Catalogue.exists(folder) and not replace:
        raise UsageError(
            f"there is a knowledge base in {folder} already", "add --replace, or name another --kb"
        )
    backup = Catalogue.open_file(source)
    try:
        create_folder(folder)
        with lock(folder, wait_s=10):
            # From here on the index is built anew by whoever writes next, should this run be killed.
            Store.forget_vectors(folder)
            if damaged := backup.restore_to(folder):
                log.warning(
                    "the catalogue could not be read and is kept as %s; restart a web app that has it open",
                    damaged,
                )
    finally:
        backup.close()
    with Store.open(folder, settings) as store, store.writer(wait_s=10):
        return store.catalogue.counts()[0]
