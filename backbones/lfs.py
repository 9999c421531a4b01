"""Git LFS pointers: the three lines that a checkout has in place of a file it did not fetch."""

from __future__ import annotations

_BEGINNING = b"version https://git-lfs.github.com/spec/"
# So much of a file tells.
HEAD = len(_BEGINNING)


def pointer(head: bytes) -> str | None:
    """Half a sentence for a file that begins like a pointer: what it is, what to do; else None."""
    if not head.startswith(_BEGINNING):
        return None
    return "is a Git LFS pointer and not the file itself: fetch it with `git lfs pull`"
