"""Sentences about clips that are used although something about their files is worth knowing.

None names a clip or a number, so that clips with the same note are counted together.
"""

from __future__ import annotations

UNTOLD = "the format does not say how long the sound is: missing or foreign parts may go unnoticed"
NO_LAST_PAGE = "the last page of the Ogg file is not marked as its last, so that it may be cut"
NO_LENGTH = "the header gives a length of 0; all that follows it is read"
JOINED = "several MP3 files in one; all of them are read"
SCALED = (
    "floating-point samples beyond ±64 are integers by all appearance and divided by their full "
    "scale (2^15, 2^23 or 2^31)"
)
