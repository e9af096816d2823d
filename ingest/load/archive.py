"""ZIP archives: their files, unpacked in memory only, within the bounds of ``package.open_archive``."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from ingest.load.encrypted import locked
from ingest.load.package import open_archive
from kb.errors import SourceError

_WHAT = "ZIP archive"
_FURNITURE = ("__MACOSX", "Thumbs.db")


def members(data: bytes, password: str | None) -> Iterator[tuple[str, bytes | SourceError]]:
    """The path of each file and its bytes, or why it cannot be unpacked; hidden files are left out.

    A path never leads out of the archive: it is a name, and nothing is ever written there.
    """
    with open_archive(data, _WHAT) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename.replace("\\", "/"))
            steps = [step for step in path.parts if step not in ("/", "..", ".")]
            if entry.is_dir() or not steps or any(s.startswith(".") or s in _FURNITURE for s in steps):
                continue
            yield "/".join(steps), _unpacked(archive, entry, password)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, password: str | None) -> bytes | SourceError:
    try:
        return archive.read(entry, password.encode() if password is not None else None)
    except NotImplementedError as error:
        return SourceError(f"this file cannot be unpacked here ({error})", "unpack the archive yourself")
    except RuntimeError:  # what zipfile raises for a missing and for a wrong password
        return locked("file", password)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        return SourceError(f"this file is damaged ({error})", "make or download the archive anew")
