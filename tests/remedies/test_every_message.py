"""Every message of the library that names a remedy has a row in a table of remedies, or a test that does it.

Beside REMEDIES (see remedied.py) a table may have, all by a fragment of the message:

- ELSEWHERE: the test, such as "data/test_folder.py::test_links", that does what the message says,
- CANNOT_BE_DONE: why no test can, such as a disk that must be replaced,
- NO_MESSAGES: texts of the library that read like a message and are none.
"""

import ast
from importlib import import_module
from pathlib import Path

import pytest
from library_messages import messages
from remedied import pattern

TESTS = Path(__file__).parents[1]
MESSAGES = list(messages())
TEXTS = {text for _, text in MESSAGES}
TABLES = [import_module(path.stem) for path in sorted(Path(__file__).parent.glob("test_remedies_of_*.py"))]
ROWS = [fragment for table in TABLES for fragment in table.REMEDIES]
ELSEWHERE = {fragment: test for table in TABLES for fragment, test in getattr(table, "ELSEWHERE", {}).items()}
CANNOT_BE_DONE = [fragment for table in TABLES for fragment in getattr(table, "CANNOT_BE_DONE", {})]
NO_MESSAGES = [fragment for table in TABLES for fragment in getattr(table, "NO_MESSAGES", ())]
KNOWN = [*ROWS, *ELSEWHERE, *CANNOT_BE_DONE, *NO_MESSAGES]


def is_of(fragment, text):
    """A fragment that is a whole message stands for that one alone."""
    return fragment == text if fragment in TEXTS else bool(pattern(fragment).search(text))


@pytest.mark.parametrize(("place", "text"), MESSAGES)
def test_what_a_message_advises_is_done_in_a_test(place, text):
    assert any(is_of(fragment, text) for fragment in KNOWN), f"{place} has no row: {text}"


@pytest.mark.parametrize("fragment", KNOWN)
def test_a_row_is_of_a_message(fragment):
    assert any(is_of(fragment, text) for _, text in MESSAGES), f"no message has {fragment!r}"


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_other_tests_exist(test):
    path, _, name = test.partition("::")
    functions = [
        one.name for one in ast.walk(ast.parse((TESTS / path).read_text())) if isinstance(one, ast.FunctionDef)
    ]
    assert name in functions
