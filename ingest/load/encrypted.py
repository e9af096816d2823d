"""Files under a password: how they are recognised and asked for, and Office documents opened with one."""

from __future__ import annotations

import io

from kb.errors import SourceError

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How old Office documents, Outlook messages and encrypted new ones begin."""

_PACKAGE = "EncryptedPackage".encode("utf-16-le")


def locked(what: str, password: str | None) -> SourceError:
    """The error for a file that needs a password, or another one than was given."""
    if password is None:
        return SourceError(f"this {what} is encrypted", "give its password with --password")
    return SourceError(f"the password does not open this {what}", "give the right one with --password")


def open_office(data: bytes, password: str | None) -> bytes:
    """The .docx, .pptx or .xlsx inside an encrypted one; raises ``SourceError`` for others."""
    if _PACKAGE not in data:
        raise SourceError(
            "this is an Office document of the old kind or an Outlook message",
            "save it as .docx, .pptx, .xlsx or .eml, or as a PDF",
        )
    if password is None:
        raise locked("Office document", password)
    from msoffcrypto import OfficeFile
    from msoffcrypto.exceptions import DecryptionError, FileFormatError, InvalidKeyError, ParseError

    opened = io.BytesIO()
    try:
        file = OfficeFile(io.BytesIO(data))
        file.load_key(password=password, verify_password=True)
        file.decrypt(opened, verify_integrity=False)
    except InvalidKeyError as error:
        raise locked("Office document", password) from error
    except (DecryptionError, FileFormatError, ParseError, OSError, ValueError, KeyError) as error:
        raise SourceError(
            f"this encrypted Office document is damaged ({error})", "save it without a password"
        ) from error
    return opened.getvalue()
