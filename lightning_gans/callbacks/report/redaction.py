"""Text without secrets, for pages that are shared."""

from __future__ import annotations

import re
from pathlib import Path

_SECRET = re.compile(
    r"""(?ix) ( (?:^|[\s\-_.{,"']) (?:[\w\-]*[_\-])? (?:api[_\-]?key|token|secret|passw(?:or)?d|credentials?) ["']? )
    (\s*[:=]\s*|\s+) (?!null\b|None\b) ( "[^"]*" | '[^']*' | [^\s,}]+ )"""
)
_IN_ADDRESS = re.compile(r"(://)[^/\s:@]+:[^/\s@]+@")


def redacted(text: str) -> str:
    """Return a text without values of keys, tokens and passwords, and with `~` for the home folder."""
    text = _SECRET.sub(r"\1\2(hidden)", text)
    text = _IN_ADDRESS.sub(r"\1(hidden)@", text)
    home = str(Path.home())
    return text if len(home) < 4 else re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
