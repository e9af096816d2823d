"""Who may log in: the file of users, and the commands that change it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from kb import users as module
from kb.errors import StorageError, UsageError
from kb.users import Users

WORD = "correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes guessing slow would make testing slow."""
    monkeypatch.setattr(module, "_COST", 2**10)


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path)


def test_a_password_is_kept_as_a_hash_in_a_file_of_the_owners(users: Users) -> None:
    assert not users.exist()
    users.put("ada", "editor", WORD)
    users.put("bob", "reader", WORD)
    assert users.exist()
    assert stat.S_IMODE(os.stat(users.path).st_mode) == 0o600
    kept = json.loads(users.path.read_text())
    assert WORD not in users.path.read_text()
    assert kept["ada"]["password"] != kept["bob"]["password"]  # salted
    assert kept["ada"]["password"].startswith("scrypt$")
    assert users.check("ada", WORD) == users.all()["ada"]
    assert users.check(" ada ", WORD) is not None
    for name, word in (("ada", WORD + "x"), ("ada", ""), ("eve", WORD), ("", "")):
        assert users.check(name, word) is None


def test_a_wrong_name_costs_as_much_as_a_wrong_password(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[Any, ...]] = []
    scrypt = module._scrypt

    def counted(*arguments: Any) -> bytes:
        tried.append(arguments[2:])
        return scrypt(*arguments)

    users.put("ada", "reader", WORD)
    users.put("proxied", "reader", None)
    monkeypatch.setattr(module, "_scrypt", counted)
    for name in ("ada", "nobody", "proxied"):
        assert users.check(name, "wrong password") is None
    assert len(tried) == 3
    assert len(set(tried)) == 1


def test_umlauts_are_the_same_however_they_are_typed(users: Users) -> None:
    users.put("Zo\u00eb", "reader", "gr\u00fcne Birnen")
    assert users.check("Zoe\u0308", "gru\u0308ne Birnen") is not None


def test_who_has_no_password_cannot_log_in(users: Users) -> None:
    users.put("ada@example.org", "editor", None)
    assert users.all()["ada@example.org"].role == "editor"
    for word in ("", "None", "nothing at all"):
        assert users.check("ada@example.org", word) is None


def test_a_change_of_the_file_is_seen(users: Users) -> None:
    users.put("ada", "reader", WORD)
    other = Users(users.path.parent)
    other.put("bob", "reader", WORD)
    other.remove("ada")
    assert set(users.all()) == {"bob"}
    other.remove("bob")
    assert users.exist()  # a file that names nobody lets nobody in
    assert users.all() == {}
    with pytest.raises(UsageError, match="kbqa user list"):
        users.remove("ada")


@pytest.mark.parametrize(
    ("name", "word"), [("", WORD), ("a\nb", WORD), ("x" * 201, WORD), ("ada", "short"), ("ada", "x" * 1001)]
)
def test_what_will_not_do_is_refused(users: Users, name: str, word: str) -> None:
    with pytest.raises(UsageError):
        users.put(name, "reader", word)
    assert not users.exist()


@pytest.mark.parametrize("text", ["{", "[]", '{"ada": 1}'])
def test_a_file_that_cannot_be_read_lets_nobody_in(users: Users, text: str) -> None:
    users.path.write_text(text)
    with pytest.raises(StorageError, match="kbqa user add"):
        users.check("ada", WORD)


def test_the_commands(kbqa: Any, tmp_path: Path) -> None:
    (tmp_path / ".kbqa").mkdir()
    assert "no login is asked for" in kbqa("user", "list").stdout
    added = kbqa("user", "add", "ada", "--editor", input=f"{WORD}\n")
    assert (added.returncode, added.stdout) == (0, "ada may log in as editor.\n")
    assert kbqa("user", "add", "bob@example.org", "--no-password").returncode == 0
    listed = json.loads(kbqa("user", "list", "--json").stdout)
    assert listed == [
        {"name": "ada", "role": "editor", "password": True},
        {"name": "bob@example.org", "role": "reader", "password": False},
    ]
    assert Users(tmp_path / ".kbqa").check("ada", WORD) is not None
    short = kbqa("user", "add", "eve", input="short\n")
    assert short.returncode == 2
    assert "10 to 1,000" in short.stderr
    assert kbqa("user", "remove", "ada").returncode == 0
    assert kbqa("user", "remove", "ada").returncode == 2
