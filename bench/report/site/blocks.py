"""Blocks of a page as HTML, the second rendering of what `bench.report.markdown` renders."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape as quoted

from markdown_it import MarkdownIt

from bench.report import markdown
from bench.report.page import Block, Bullets, Heading, Image, Link, Table, Text

# Knows the little markup that texts hold; HTML in them stays text, and a page that may lie anywhere
# leads to no file.
_INLINE = MarkdownIt("commonmark", {"html": False})
for _mark in ("link_open", "link_close", "image"):
    _INLINE.add_render_rule(_mark, lambda *_: "")


def html(blocks: Sequence[Block]) -> str:
    """What the blocks show; figures are left out, and tables whose rows stand elsewhere."""
    return "\n".join(_block(block) for block in blocks)


def _block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{_inline(markdown.escape(text))}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{_inline(item)}</li>' for item in items)}</ul>"
        case Table():
            return "" if block.listed else _table(block)
        case Image():
            return ""


def _table(table: Table) -> str:
    numeric = [title.endswith(">") for title in table.columns]
    kinds = [' class="number"' if number else "" for number in numeric]

    def cells(tag: str, values: Sequence[str | Link]) -> str:
        return "".join(
            f"<{tag}{kind}>{_inline(markdown.cell(value))}</{tag.split()[0]}>"
            for kind, value in zip(kinds, values, strict=True)
        )

    head = cells('th scope="col"', [title.removesuffix(">") for title in table.columns])
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    label = quoted(", ".join(title.removesuffix(">") for title in table.columns[:3]))
    return (
        f'<div class="wide" role="region" aria-label="Table of {label}" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _inline(text: str) -> str:
    return str(_INLINE.renderInline(text))
