"""The house stays as it was drawn: imports point one way, and each heavy library has one door.

Read from the sources with ``ast``, also inside functions; imports that are for type checkers only do not
count, since they do not run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module of kb may import those before it. One that is missing here has not been given its place.
ORDER = (
    *("types", "errors", "settings", "text", "phrases", "editions", "render", "page"),
    *("shelf", "catalogue", "postgres", "queue", "vectors", "minilm", "embed", "store", "doctor"),
    *("holdings", "users", "backup", "migrate", "spelling", "retrieve"),
    *("reader", "question", "about", "statement", "rules", "extract", "claims", "weigh"),
    *("provenance", "verify", "badges", "guard", "chat", "generate"),
    *("langchain", "pipeline"),
    *("sheets", "tables", "journal", "outputs", "pack", "batch", "compare", "evaluate", "suggest", "cli"),
    "__main__",
)

# The web desk stands above all of these; its modules likewise import those before them.
WEB = (
    *("desk", "source", "draft", "jobs", "intake", "shelf", "talk", "offers", "feedback", "transcript"),
    *(
        "ask",
        "check",
        "batch",
        "library",
        "api",
        "frame",
        "login",
        "gate",
        "metrics",
        "agents",
        "memory",
        "server",
    ),
)

# Where a heavy library may be named. Its parts (langchain_core, …) go with it.
DOORS = {
    "chromadb": {"kb/vectors.py"},
    "psycopg": {"kb/postgres.py"},
    "onnx": {"kb/minilm.py"},
    "onnxruntime": {"kb/minilm.py"},
    "safetensors": {"kb/minilm.py", "kb/reader.py"},
    "tokenizers": {"kb/minilm.py"},
    "sentence_transformers": {"kb/embed.py"},
    "torch": set(),
    "transformers": set(),
    "langchain": {"kb/embed.py", "kb/chat.py", "kb/langchain.py", "kb/pipeline.py"},
    "langchain_core": {"kb/embed.py", "kb/chat.py", "kb/langchain.py", "kb/pipeline.py"},
    "langsmith": {"kb/chat.py"},
    "gradio": {f"kb/web/{module}.py" for module in WEB},
    "fastapi": {"kb/web/server.py"},
    "mcp": {"kb/web/agents.py"},
    "starlette": {"kb/web/gate.py", "kb/web/agents.py"},
    "uvicorn": {"kb/web/server.py"},
    "prometheus_client": {"kb/web/metrics.py"},
    "trafilatura": {"ingest/load/html.py"},
    "pypdf": {"ingest/load/pdf.py"},
    "pypdfium2": {"ingest/load/scan.py"},
    "docx": {"ingest/load/docx.py", "kb/pack.py"},
    "markdown_it": {"ingest/load/markdown.py"},
    "openpyxl": {"kb/sheets.py"},
    "pathspec": {"ingest/sync.py"},
    "striprtf": {"ingest/load/rtf.py"},
    "msoffcrypto": {"ingest/load/encrypted.py"},
    "watchfiles": {"ingest/watch.py"},
}


@cache
def sources() -> list[Path]:
    return sorted([*ROOT.glob("kb/**/*.py"), *ROOT.glob("ingest/**/*.py"), ROOT / "app.py"])


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def nodes(tree: ast.AST, *, inside_functions: bool = True) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if _is_for_type_checkers(child):
            continue
        yield child
        if inside_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from nodes(child, inside_functions=inside_functions)


@cache
def imports(path: Path, *, inside_functions: bool = True) -> frozenset[str]:
    """The modules that a file imports, as dotted names (``from kb import render`` gives ``kb.render``)."""
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text(encoding="utf-8")), inside_functions=inside_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} imports relatively"
            found |= {_module(node.module or "", alias.name) for alias in node.names}
    return frozenset(found)


def _module(package: str, what: str) -> str:
    path = ROOT / package.replace(".", "/") / what
    return f"{package}.{what}" if path.is_dir() or path.with_suffix(".py").exists() else package


def top(module: str) -> str:
    return module.split(".")[0]


def test_every_module_of_kb_has_its_place() -> None:
    assert {path.stem for path in (ROOT / "kb").glob("*.py")} - {"__init__"} <= set(ORDER)
    assert {path.stem for path in (ROOT / "kb/web").glob("*.py")} - {"__init__"} == set(WEB)


@pytest.mark.parametrize("path", sorted((ROOT / "kb").glob("*.py")), ids=name)
def test_kb_imports_point_down(path: Path) -> None:
    if path.stem == "__init__":
        return
    used = {module.split(".")[1] for module in imports(path) if module.startswith("kb.")}
    assert used <= set(ORDER[: ORDER.index(path.stem)])


@pytest.mark.parametrize("module", WEB)
def test_imports_of_the_web_desk_point_down(module: str) -> None:
    used = {used.split(".")[1] for used in imports(ROOT / f"kb/web/{module}.py") if used.startswith("kb.")}
    assert used <= {*ORDER[: ORDER.index("cli")], "web"}
    beside = {used for used in imports(ROOT / f"kb/web/{module}.py") if used.startswith("kb.web")}
    assert beside <= {"kb.web", *(f"kb.web.{before}" for before in WEB[: WEB.index(module)])}


def test_ingest_is_imported_by_what_people_use_alone() -> None:
    users = {name(path) for path in sources() if "ingest" in {top(module) for module in imports(path)}}
    assert {user for user in users if not user.startswith(("ingest/", "kb/web/"))} == {"kb/cli.py"}


def test_the_app_is_imported_by_the_command_line_alone() -> None:
    assert {name(path) for path in sources() if "app" in imports(path)} == {"kb/cli.py"}


def test_the_web_desk_is_imported_by_the_app_alone() -> None:
    users = {name(path) for path in sources() if any(used.startswith("kb.web") for used in imports(path))}
    assert {user for user in users if not user.startswith("kb/web/")} == {"app.py"}


def test_rendering_imports_types_only() -> None:
    assert {module for module in imports(ROOT / "kb/render.py") if top(module) == "kb"} == {
        "kb.phrases",
        "kb.types",
    }


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_heavy_library_is_named_behind_its_door_only(library: str) -> None:
    users = {name(path) for path in sources() if library in {top(module) for module in imports(path)}}
    assert users <= DOORS[library]


@pytest.mark.parametrize(
    "path", [path for path in sources() if not name(path).startswith("kb/web/")], ids=name
)
def test_no_heavy_library_is_imported_with_its_module(path: Path) -> None:
    if path.name == "langchain.py":  # the adapter subclasses LangChain's classes; it is itself imported late
        return
    assert not {top(module) for module in imports(path, inside_functions=False)} & set(DOORS)


def test_no_import_cycle() -> None:
    """Counts what runs at import; ``ORDER`` keeps cycles out of kb, this one looks at all of it."""
    graph = {_dotted(path): imports(path, inside_functions=False) for path in sources()}
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done and module in graph:
            for imported in sorted(graph[module]):
                walk(imported, (*way, module))
            done.add(module)

    for module in graph:
        walk(module, ())


def _dotted(path: Path) -> str:
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# What people read of these stands in kb/phrases.py; the others say what programs and administrators read.
SPEAKING = ("ask", "talk", "source", "check", "draft", "batch", "library", "shelf", "login", "frame")


@pytest.mark.parametrize("module", SPEAKING)
def test_what_the_page_says_stands_in_one_place(module: str) -> None:
    tree = ast.parse((ROOT / f"kb/web/{module}.py").read_text(encoding="utf-8"))
    of_the_library = {"Sources differ:"}  # how a notice begins that is shown in another way
    assert {text for text in _texts(tree) if _is_shown(text)} <= of_the_library


def _texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module, with * for what is filled in; no docstrings, no scripts, no style sheets."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(
            ("_JS", "HEAD", "SANS", "MONO")
        ):
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        inner = node.values if isinstance(node, ast.JoinedStr) else [node]
        for part in inner:
            yield from _texts(part)


def _is_shown(text: str) -> bool:
    """Whether there are words between tags, in an attribute that is read out, or in a sentence."""
    text = re.sub(r"<style.*?</style>|<code>.*?</code>", "", text, flags=re.DOTALL)
    read_out = re.search(r"(?:aria-label|title|placeholder)=\"[^\"]*[a-z]{2}", text)
    bare = re.sub(r"<[^>]*>|<[^>]*$|^[^<>]*>", "", text) if "<" in text or ">" in text else ""
    sentence = re.match(r"[A-Z][a-z]+(?: [a-z]+|$)", text)
    return bool(read_out or sentence or re.search(r"[A-Za-z]{2}", re.sub(r"&\w+;", "", bare)))
