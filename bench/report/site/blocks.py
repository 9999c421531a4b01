"""Blocks of a page as HTML, the second rendering of what `bench.report.markdown` renders."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as quoted

from markdown_it import MarkdownIt

from bench.printable import printable
from bench.report import markdown
from bench.report.page import Block, Bullets, Heading, Image, Link, Table, Text

# Knows the little markup that texts hold; HTML in them stays text, and a page that may lie anywhere
# leads to no file.
_INLINE = MarkdownIt("commonmark", {"html": False})
for _mark in ("link_open", "link_close", "image"):
    _INLINE.add_render_rule(_mark, lambda *_: "")


def html(blocks: Sequence[Block]) -> str:
    """What the blocks show, but figures, tables whose rows stand elsewhere, and talk of files."""
    parts, heading = [], ""
    for number, block in enumerate(blocks):
        if isinstance(block, Heading):
            heading = block.text
        # a reader's list of regions tells them apart by their labels
        parts.append(_block(block, f"{heading}, table {number}"))
    return "\n".join(filter(None, parts))


def _block(block: Block, label: str) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{_inline(markdown.escape(text))}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>" if text else ""
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ul>"
        case Table():
            return "" if block.listed else _table(block, label)
        case Image():
            return ""


def _table(table: Table, label: str) -> str:
    kinds = [' class="number"' if title.endswith(">") else "" for title in table.columns]

    def cells(tag: str, values: Sequence[str | Link]) -> str:
        return "".join(
            f"<{tag}{kind}>{_inline(markdown.cell(value))}</{tag.split()[0]}>"
            for kind, value in zip(kinds, values, strict=True)
        )

    head = cells('th scope="col"', [title.removesuffix(">") for title in table.columns])
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    return (
        f'<div class="wide" role="region" aria-label="{quoted(printable(label))}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _inline(text: str) -> str:
    return str(_INLINE.renderInline(text))
