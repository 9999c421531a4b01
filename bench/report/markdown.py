"""Small pieces of GitHub Markdown: tables, and numbers the way the leaderboard writes them."""

from __future__ import annotations

from collections.abc import Sequence

DASH = "–"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Args:
        columns: titles; one that ends in `>` is aligned to the right.
        rows: cells as plain text; they are escaped here.
    """
    head = "| " + " | ".join(title.removesuffix(">") for title in columns) + " |"
    rule = "|" + "|".join("---:" if title.endswith(">") else "---" for title in columns) + "|"
    body = ["| " + " | ".join(escape(value) for value in row) + " |" for row in rows]
    return "\n".join([head, rule, *body])


def escape(text: str) -> str:
    """Text on one line that cannot break out of a table cell or become HTML."""
    line = " ".join(text.split())
    return line.replace("|", "\\|").replace("<", "&lt;")


def folded(summary: str, body: str) -> str:
    """A block that GitHub shows closed."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n\n{body}\n\n</details>"


def percent(value: float | None) -> str:
    """A share in percent with one decimal."""
    return DASH if value is None else f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def decimal(value: float | None) -> str:
    """A number with one decimal."""
    return DASH if value is None else f"{value:.1f}"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
