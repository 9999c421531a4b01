"""How many threads a head's libraries compute with."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import lru_cache

from threadpoolctl import ThreadpoolController


def at_most(threads: int) -> AbstractContextManager[object]:
    """Let the libraries that are loaded compute with so many threads, for as long as it is open."""
    return _loaded(len(sys.modules)).limit(limits=threads)


@lru_cache(maxsize=1)  # to look takes milliseconds, more than a prediction; an import loads others
def _loaded(modules: int) -> ThreadpoolController:
    return ThreadpoolController()
