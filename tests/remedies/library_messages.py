"""The messages of the library that name a remedy, read from its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import lightning_gans

LIBRARY = Path(lightning_gans.__file__).parent
VERBS = (
    "use|give|leave|set|lower|raise|pass|write|make|add|change|convert|scale|call|delete|copy|move|start|let|keep|put"
)
VERBS += "|train|resize|build|draw|name|define|correct|clean|return|number|subtract|wait|end|export|reinstall|wrap"
VERBS += (
    "|normalise|override|import|remove|download|install|say|did you mean|need|Make room|Start again|Leave out|Lower"
)
NAMES_A_REMEDY = re.compile(rf"\bexpected\b|[;:,.] (or |and |if [^;]*, )?({VERBS})\b|; for ", re.IGNORECASE)


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place (file:line) and text of each, with … for what is filled in."""
    for path in sorted(LIBRARY.rglob("*.py")):
        tree = ast.parse(path.read_text())
        docstrings = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}
        for node in _outermost_strings(tree, docstrings):
            text = _text(node)
            if " " in text.strip(" …") and NAMES_A_REMEDY.search(text):
                yield f"{path.relative_to(LIBRARY)}:{node.lineno}", text


def _outermost_strings(node: ast.AST, docstrings: set[int]) -> Iterator[ast.expr]:
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        if id(node) not in docstrings:
            yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from _outermost_strings(child, docstrings)


def _has_docstring(node: ast.AST) -> bool:
    body = getattr(node, "body", None)
    return isinstance(body, list) and bool(body) and isinstance(body[0], ast.Expr)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values)
