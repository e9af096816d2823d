"""The README cannot drift: its commands run, and print what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.readme import README, ROOT, blocks, run
from kb.cli import cli

TEXT = README.read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)


def test_the_four_things_people_do_are_shown() -> None:
    assert {"ask", "refuse", "check", "batch"} <= set(BLOCKS)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_command_prints_what_the_readme_shows(name: str, starter_folder: Path, tmp_path: Path) -> None:
    command, shown = BLOCKS[name]
    printed = run(command, tmp_path, starter_folder)
    # Its opening: on another processor the last digits of a score, and so the last source, may differ.
    assert printed.splitlines()[0] == shown.splitlines()[0]


def test_the_python_example_runs(
    starter_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".kbqa").symlink_to(starter_folder)
    monkeypatch.chdir(tmp_path)
    example, _ = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)  # the other one: test_public.py
    names: dict[str, object] = {}
    exec(example, names)
    assert names["answer"].citations  # type: ignore[attr-defined]


def test_every_module_and_link_exists() -> None:
    for name in re.findall(r"`((?:kb|ingest)/[\w/]*(?:\.py)?|app\.py)`", TEXT):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_every_module_is_named() -> None:
    for path in (ROOT / "kb").glob("[a-z]*.py"):
        assert f"`kb/{path.name}`" in TEXT, path.name


def test_every_command_has_help() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
