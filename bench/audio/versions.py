"""The versions of what is computed from audio files, all in one place.

Each is part of the key under which results are kept, so that raising one forgets exactly what it
names; `docs/method.md`, "What identifies a result", lists them with all others.
"""

from __future__ import annotations

# Raise it whenever the same decoded samples would be mixed, resampled or hashed in another way:
# every scan, every fingerprint, every feature set and so every record depends on it.
DECODE_VERSION = 1
# Raise it whenever the same file would give other samples or another verdict. Only the scan depends
# on it, and on the versions of the decoders: clips with other samples have other hashes.
READING_VERSION = 3
# Raise it whenever the same clip would be cut into other windows: every feature set and so every
# record depends on it.
WINDOW_VERSION = 1
# Raise it whenever the same sound would give other words: words of two versions never compare.
# Only the fingerprints are made anew; a record follows where its folds change.
PRINT_VERSION = 1
