"""Who may log in to the web app: a file ``users.json`` beside the catalogue, with names, roles and hashes.

The app asks for a login as soon as there is this file, and lets nobody in if it names nobody. A user without
a password cannot log in here: a proxy does that for them (see ``Settings.proxy_user``), and the file says
what they may do.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from kb.errors import StorageError, UsageError

Role = Literal["reader", "editor"]

FILE_NAME = "users.json"
SHORTEST = 10
LONGEST = 1_000  # characters of a password; to hash more would be work that strangers can order
NAME_LIMIT = 200

# What OWASP asks of scrypt: 32 MiB and about a tenth of a second for each try.
_COST, _BLOCK, _TIMES = 2**15, 8, 3
_MEMORY = 128 * _COST * _BLOCK * 2


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may come in; ``password`` is its hash, empty for those whom a proxy logs in."""

    name: str
    role: Role = "reader"
    password: str = ""


class Users:
    """The file with the users; read again when it has changed. Safe to share among threads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._read: tuple[int, Mapping[str, User]] = (-1, {})
        self._hashing = threading.Semaphore(2)  # each try takes 32 MiB

    def exist(self) -> bool:
        return self.path.exists()

    def all(self) -> Mapping[str, User]:
        """The users by name; raises ``StorageError`` for a file that cannot be read."""
        try:
            stamp = self.path.stat().st_mtime_ns
            with self._lock:
                if self._read[0] != stamp:
                    found = json.loads(self.path.read_text("utf-8"))
                    self._read = (stamp, {name: _user(name, known) for name, known in found.items()})
                return self._read[1]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{self.path} cannot be read ({error})", "correct it, or make it anew with kbqa user add"
            ) from error

    def put(self, name: str, role: Role, password: str | None) -> User:
        """Add a user, or change one; without a password only a proxy can log them in.

        Raises ``UsageError`` for a name or a password that will not do.
        """
        name = known_as(name)
        if not name or len(name) > NAME_LIMIT or not name.isprintable():
            raise UsageError("this name will not do", f"choose 1 to {NAME_LIMIT} letters that can be seen")
        if role not in get_args(Role):
            raise UsageError(f"there is no role {role!r}", "choose reader or editor")
        if password is not None and not SHORTEST <= len(password) <= LONGEST:
            raise UsageError(
                f"the password has {len(password)} characters", f"choose {SHORTEST} to {LONGEST:,} of them"
            )
        user = User(name, role, hashed(password) if password is not None else "")
        self._write({**self.all(), name: user})
        return user

    def remove(self, name: str) -> None:
        """Take a user out, who is logged out with that; raises ``UsageError`` if there is none."""
        name = known_as(name)
        if name not in self.all():
            raise UsageError(f"there is no user {name!r}", "`kbqa user list` names them")
        self._write({other: user for other, user in self.all().items() if other != name})

    def check(self, name: str, password: str) -> User | None:
        """The user with this password. A wrong name takes as long as a wrong password."""
        user = self.all().get(known_as(name))
        with self._hashing:
            right = _is_right(password[:LONGEST], user.password if user and user.password else _nobody())
        return user if user and user.password and right else None

    def _write(self, users: Mapping[str, User]) -> None:
        stored = {
            name: {k: v for k, v in asdict(user).items() if k != "name"} for name, user in users.items()
        }
        draft = self.path.with_suffix(".new")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(stored, file, ensure_ascii=False, indent=1)
            draft.replace(self.path)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be written ({error.strerror})", "check the folder and its permissions"
            ) from error


def known_as(name: str) -> str:
    """A name in the one form in which it is compared."""
    return unicodedata.normalize("NFC", name).strip()


def hashed(password: str) -> str:
    """A password as it is kept: ``scrypt$cost$block$times$salt$hash``."""
    salt = secrets.token_bytes(16)
    parts = (salt, _scrypt(password, salt, _COST, _BLOCK, _TIMES))
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_TIMES), *(b64encode(p).decode() for p in parts)))


def _is_right(password: str, kept: str) -> bool:
    try:
        _, cost, block, times, salt, digest = kept.split("$")
        found = _scrypt(password, b64decode(salt), int(cost), int(block), int(times))
        return hmac.compare_digest(found, b64decode(digest))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, cost: int, block: int, times: int) -> bytes:
    # The same characters, however a keyboard composes them.
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
    return hashlib.scrypt(text, salt=salt, n=cost, r=block, p=times, maxmem=_MEMORY, dklen=32)


def _user(name: str, known: Mapping[str, str]) -> User:
    role = known.get("role", "reader")
    return User(name, role if role in get_args(Role) else "reader", str(known.get("password", "")))  # type: ignore[arg-type]


def _nobody() -> str:
    """The hash that nobody's password has: what is compared where there is no such user."""
    ends = (b64encode(bytes(16)).decode(), b64encode(bytes(32)).decode())
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_TIMES), *ends))
