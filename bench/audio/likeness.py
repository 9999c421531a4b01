"""Fingerprints of many clips → which of them share sound, whatever the codec, level or cut.

Two clips can only be compared once it is known how far one is shifted against the other. Words
that occur in both propose shifts (an index of all words, so that no clip meets every other);
each proposed shift is then verified word by word: see `Match`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench.audio.fingerprint import WORD_RATE

# Clips are near-duplicates from this much shared sound on ...
SHARED_SECONDS = 10.0
# ... or, where one of them has too little sound for that, from this share of it on,
SHARED_PART = 0.8
# but never on less than this: with fewer words the chance grows that strangers agree.
LEAST_SECONDS = 2.0
# Most wrong bits in a block, see docs/method.md for how the bound was found.
MAX_ERROR = 0.33
BLOCK_SECONDS = 3.0

# Silence, hum and held tones flip fewer bits per second than this, and all look alike.
_LEAST_FLIPS = 12
# Slow music takes more seconds than speech to be told from other slow music.
_LEAST_FLIPS_SHARED = 250
# A block that differs less from an earlier one only repeats it (a metronome, an alarm, a loop),
# and would fit whatever else repeats it. Closer than this, all sound is like itself.
_REPEATED_ERROR = 0.2
_REPEAT_SECONDS = 0.4
# Words that occur more often than this identify nothing.
_TOO_COMMON = 64
# Of equal words each is paired with the next few only: groups of copies are found as a chain.
_NEXT = 4
_LEAST_VOTES = 3
# Words looked up at a time, so that memory does not grow with their number.
SHARE = 1 << 22

_BLOCK = round(BLOCK_SECONDS * WORD_RATE)
_SECOND = round(WORD_RATE)


@dataclass(frozen=True)
class Match:
    """Sound that two clips share at one shift.

    A word is shared where, in the block of `BLOCK_SECONDS` around it, at most `MAX_ERROR` of the
    bits differ. What stands still or repeats itself is no proof and does not count.
    """

    first: int  # position of the one clip in the sequence compared
    second: int  # of the other clip, > `first`
    shift: float  # seconds by which the sound comes later in the first clip than in the second
    seconds: float  # of sound shared
    error: float  # share of its bits that differ; 0 for the same samples, about 0.5 for strangers

    @property
    def proof(self) -> float:
        """How far beyond chance the clips agree: of several shifts the most counts."""
        return self.seconds * (0.5 - self.error)


def near_duplicates(prints: Sequence[NDArray[np.uint32]]) -> list[list[int]]:
    """Return sets of clips linked by shared sound, in order of their first clip.

    Args:
        prints: each clip's words, from `Fingerprinter.finish`; may be empty.

    Returns:
        Sorted positions, at least two per set; clips that share nothing are in none.
    """
    found = matches(prints)
    if not found:
        return []
    ends = ([match.first for match in found], [match.second for match in found])
    links = coo_array((np.ones(len(found)), ends), shape=(len(prints), len(prints)))
    _, labels = connected_components(links, directed=False)
    sets: dict[int, list[int]] = {}
    for index in sorted({*ends[0], *ends[1]}):
        sets.setdefault(int(labels[index]), []).append(index)
    return list(sets.values())


def matches(prints: Sequence[NDArray[np.uint32]], share: int = SHARE) -> list[Match]:
    """Return pairs of clips that share enough sound, sorted by position.

    Enough is `SHARED_SECONDS`, or `SHARED_PART` of the sound that counts (see `Match`) in the clip
    with less of it, where that is less, and never less than `LEAST_SECONDS`. Of many copies of one
    clip not every pair is listed, but all are linked by some.

    Args:
        prints: each clip's words, from `Fingerprinter.finish`; may be empty.
        share: about how many words are looked up at a time; it changes nothing but memory.
    """
    sounds = [_Sound(words) for words in prints]
    found: dict[tuple[int, int], Match] = {}
    for first, second, shift in _candidates(sounds, share):
        match = _verify(sounds, first, second, shift)
        best = found.get((first, second))
        if match and (best is None or match.proof > best.proof):
            found[first, second] = match
    return [found[pair] for pair in sorted(found)]


class _Sound:
    """One clip's words, and which of them can prove anything."""

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self.words = words

    @cached_property
    def flips(self) -> NDArray[np.uint8]:
        """How many bits differ from the word before."""
        return np.bitwise_count(self.words ^ np.concatenate([self.words[:1], self.words[:-1]]))

    @cached_property
    def lively(self) -> NDArray[np.bool_]:
        """Where enough bits flip in the second around a word."""
        return _around(self.flips, _SECOND) >= _LEAST_FLIPS

    @cached_property
    def telling(self) -> NDArray[np.bool_]:
        """Where it is lively and does not repeat what came in the last `SHARED_SECONDS`."""
        telling = self.lively.copy()
        longest = min(len(self.words) - 1, round(SHARED_SECONDS * WORD_RATE))
        for lag in range(round(_REPEAT_SECONDS * WORD_RATE), longest + 1):
            wrong = np.bitwise_count(self.words[lag:] ^ self.words[:-lag])
            bits = 32 * _around(np.ones_like(wrong), _BLOCK)
            telling[lag:] &= _around(wrong, _BLOCK) > _REPEATED_ERROR * bits
        return telling


def _around(values: NDArray, width: int) -> NDArray[np.int64]:
    """Sum of the `width` values around each, of fewer at the ends."""
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    low = np.arange(len(values)) - width // 2
    return total[np.minimum(low + width, len(values))] - total[np.maximum(low, 0)]


def _candidates(sounds: Sequence[_Sound], share: int) -> list[tuple[int, int, int]]:
    """Return (first clip, second clip, shift in words) on which several equal words agree."""
    shares = -(-sum(len(sound.words) for sound in sounds) // share)
    if not shares:
        return []
    # one number per vote, (pair × span + shift): sorting it takes half the memory of two
    longest = max(len(sound.words) for sound in sounds)
    span = 2 * longest
    votes = np.concatenate([_votes(sounds, number, shares, span) for number in range(shares)])
    votes.sort()
    # a vote counts for the next shift too: the clips' words need not fall on the same instants
    more = _LEAST_VOTES - 1
    agreed = votes[more:] - votes[:-more] <= 1
    pairs, shifts = np.divmod(np.unique(votes[:-more][agreed]), span)
    firsts, seconds = np.divmod(pairs, len(sounds))
    return list(zip(firsts.tolist(), seconds.tolist(), (shifts - longest).tolist(), strict=True))


def _votes(sounds: Sequence[_Sound], number: int, shares: int, span: int) -> NDArray[np.int64]:
    """What equal words propose, for one share of all words.

    int64 (votes,), (first clip × clips + second clip) × span + span / 2 + shift.
    """
    chosen = []
    for sound in sounds:
        # of a word that is held, its beginning
        begins = np.diff(sound.words, prepend=~sound.words[:1]) != 0
        chosen.append(np.flatnonzero(begins & sound.lively & (sound.words % shares == number)))
    words = np.concatenate([sound.words[own] for sound, own in zip(sounds, chosen, strict=True)])
    order = np.argsort(words, kind="stable")
    _, sizes = np.unique(words, return_counts=True)
    order = order[np.repeat(sizes <= _TOO_COMMON, sizes)]
    words = words[order]
    clips = np.repeat(np.arange(len(sounds)), [len(own) for own in chosen])[order]
    places = np.concatenate(chosen)[order]
    votes = []
    for step in range(1, _NEXT + 1):
        same = np.flatnonzero((words[step:] == words[:-step]) & (clips[step:] != clips[:-step]))
        pairs = clips[same] * len(sounds) + clips[same + step]
        votes.append(pairs * span + span // 2 + places[same] - places[same + step])
    return np.concatenate(votes)


def _verify(sounds: Sequence[_Sound], first: int, second: int, shift: int) -> Match | None:
    one, other = sounds[first], sounds[second]
    length = min(len(one.words) - max(0, shift), len(other.words) - max(0, -shift))
    here = slice(max(0, shift), max(0, shift) + length)
    there = slice(max(0, -shift), max(0, -shift) + length)
    compared = one.lively[here] | other.lively[there]
    wrong = np.bitwise_count(one.words[here] ^ other.words[there]) * compared
    agreed = _around(wrong, _BLOCK) <= MAX_ERROR * 32 * _around(compared, _BLOCK)
    shared = agreed & one.lively[here] & other.lively[there]
    if shared.sum() < LEAST_SECONDS * WORD_RATE:
        return None  # before the costly question what repeats itself
    shared &= one.telling[here] & other.telling[there]
    telling = min(int(one.telling.sum()), int(other.telling.sum()))
    needed = min(SHARED_SECONDS * WORD_RATE, SHARED_PART * telling)
    count = int(shared.sum())
    flips = min(one.flips[here][shared].sum(), other.flips[there][shared].sum())
    if count < max(needed, LEAST_SECONDS * WORD_RATE) or flips < _LEAST_FLIPS_SHARED:
        return None
    return Match(
        first=first,
        second=second,
        shift=shift / WORD_RATE,
        seconds=count / WORD_RATE,
        error=int(wrong[shared].sum()) / (32 * count),
    )
