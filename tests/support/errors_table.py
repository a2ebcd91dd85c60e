"""The table of errors in docs/protocol.md, made from the registry in errors.py.

``python -m tests.support.errors_table`` writes it into the page.
"""

from __future__ import annotations

import re

from sanic_dispatch.errors import PROBLEMS, Problem
from tests.support.paths import DOCS

PAGE = DOCS / "protocol.md"

HEAD = """\
| status | `Error` | `detail`, for example | besides |
|---|---|---|---|
"""


def with_table(page: str) -> str:
    """Return the page with a new table of errors; other text is kept."""
    table = HEAD + "".join(row_of(code, problem) for code, problem in PROBLEMS.items())
    page, count = re.subn(re.escape(HEAD) + r"(?:\|.*\n)+", lambda _: table, page)
    assert count == 1, f"{PAGE.name} needs one table of errors"
    return page


def row_of(code: str, problem: Problem) -> str:
    """Return an error's row."""
    headers = [f"`{name}: {value}`" for name, value in problem.headers.items()]
    besides = "; ".join(part for part in (", ".join(headers), problem.members) if part)
    detail = f"`{problem.detail}`{problem.note}"
    return f"| `{problem.status}` | `{code}` | {detail} | {besides}{' ' if besides else ''}|\n"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
