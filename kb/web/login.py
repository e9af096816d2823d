"""Logging in: sessions, and patience with those who guess.

Sessions live in memory: who restarts the server logs everybody out. A cookie holds a random token, of which
only the hash is kept.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from html import escape

from kb import phrases
from kb.errors import Busy
from kb.users import User, Users, known_as

SESSION_S = 12 * 3600.0
MOST_SESSIONS = 10_000

# Wrong passwords that cost nothing; from then on each doubles the time until the next try is looked at. By
# address soon; by name late and shortly, so that a stranger cannot keep somebody out.
FREE = {"address": 5, "name": 20}
LONGEST_WAIT_S = {"address": 300.0, "name": 30.0}
FORGOTTEN_S = 900.0


class Patience:
    """Counts failures, and says how long to wait after many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}
        self._lock = threading.Lock()

    def admit(self, *keys: tuple[str, str]) -> float:
        """Seconds until another try is looked at; 0 if it is now."""
        now = self._clock()
        with self._lock:
            left = max((self._left(key, now) for key in keys), default=0.0)
            if left:
                return left
            if len(self._failures) > MOST_SESSIONS:
                self._failures = {k: v for k, v in self._failures.items() if now - v[1] < FORGOTTEN_S}
            for key in keys:
                count, last = self._failures.get(key, (0, now))
                self._failures[key] = (1 if now - last > FORGOTTEN_S else count + 1, now)
            return 0.0

    def succeeded(self, *keys: tuple[str, str]) -> None:
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)

    def _left(self, key: tuple[str, str], now: float) -> float:
        count, last = self._failures.get(key, (0, 0.0))
        if count < FREE[key[0]]:
            return 0.0
        pause = min(LONGEST_WAIT_S[key[0]], 2.0 ** min(count - FREE[key[0]], 20))
        return max(0.0, last + pause - now)


class Login:
    """Who is logged in."""

    def __init__(self, users: Users, clock: Callable[[], float] = time.monotonic) -> None:
        self.users = users
        self._clock = clock
        self._patience = Patience(clock)
        self._sessions: dict[str, tuple[str, str, float]] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, password: str, address: str) -> str | None:
        """A token for the right password, else ``None``; raises ``Busy`` where there were too many tries."""
        keys = ("address", address), ("name", known_as(name))
        if wait := self._patience.admit(*keys):
            raise Busy("there were too many tries", f"try again in {wait:.0f} seconds")
        user = self.users.check(name, password)
        if user is None:
            return None
        self._patience.succeeded(*keys)
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            if len(self._sessions) >= MOST_SESSIONS:
                self._sessions = {k: v for k, v in self._sessions.items() if v[2] > now}
            self._sessions[_hash(token)] = (user.name, user.password, now + SESSION_S)
        return token

    def who(self, token: str) -> User | None:
        """Whose token this is: nobody's, once the user was removed or has a new password."""
        with self._lock:
            name, password, until = self._sessions.get(_hash(token), ("", "", 0.0))
        user = self.users.all().get(name)
        return user if user and user.password == password and self._clock() < until else None

    def end(self, token: str) -> None:
        with self._lock:
            self._sessions.pop(_hash(token), None)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def page_html(nonce: str, problem: str = "", name: str = "") -> str:
    """The page on which to log in."""
    alert = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{phrases.LOG_IN_PAGE}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style nonce="{nonce}">
:root {{ color-scheme: light dark; --paper: #fbfaf7; --ink: #1d1c1a; --link: #1f4e79; --warn: #8a2f1d; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #161513; --ink: #ece8e0; --link: #9cc4ec;
  --warn: #f0a08c; }} }}
body {{ margin: 0; padding: 14vh 1rem 2rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 ui-sans-serif, system-ui, sans-serif; }}
form {{ max-width: 20rem; margin: 0 auto; }}
h1 {{ margin: 0 0 1.2rem; font: 400 2rem/1.2 Charter, Cambria, Georgia, serif; }}
label {{ display: block; margin: 0 0 .9rem; }}
input {{ box-sizing: border-box; width: 100%; padding: .55rem .7rem; font: inherit;
  border: 1px solid currentColor; border-radius: 6px; }}
button {{ padding: .55rem 1.4rem; font: 600 1rem/1.4 inherit; font-family: inherit; color: var(--paper);
  background: var(--link); border: 0; border-radius: 6px; }}
:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
.problem {{ color: var(--warn); }}
</style></head><body><main><form method="post" action="login"><h1>{phrases.LOG_IN}</h1>{alert}
<label>{phrases.LOG_IN_NAME}<input name="username" autocomplete="username" required autofocus
 value="{escape(name[:200])}"></label>
<label>{phrases.LOG_IN_PASSWORD}<input name="password" type="password" autocomplete="current-password"
 required></label>
<button>{phrases.LOG_IN}</button></form></main></body></html>
"""
