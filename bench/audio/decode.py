"""Audio files → mono float32 at one rate, or one sentence saying why a file cannot be used.

soundfile reads WAV, FLAC, AIFF and Ogg; PyAV reads the rest, told apart by content and never by
suffix (an MP3 named `.wav` is common). Anything that would quietly change what a clip says, such
as half a file or NaN samples, is a `ClipError`: see `decode`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from bench.errors import ClipError

# Raise it whenever the same file would give other samples: every cached vector depends on it.
DECODE_VERSION = 1
SOXR_QUALITY = "HQ"
MIN_SECONDS = 0.1

# WAV, RF64, FLAC, Ogg, AIFF. Not MP3: libsndfile may only estimate its length, and prints warnings.
_SOUNDFILE_READS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM")
# Programs that write WAV to a pipe cannot know its length and put a number near 2^31 or 2^32.
_UNKNOWN_LENGTH = 0x7FFFF000
# Encoder padding makes the declared length of AAC or Opus differ a little from what is decoded.
_LENGTH_TOLERANCE_SECONDS = 0.25


@dataclass(frozen=True)
class Audio:
    """One clip, ready for a backbone.

    Attributes:
        samples: float32 (n,), mean of the channels, at `rate`.
        rate: samples per second of `samples`.
        native_rate: samples per second in the file.
        channels: channels in the file.
        pcm_sha256: see `pcm_sha256`.
    """

    samples: np.ndarray
    rate: int
    native_rate: int
    channels: int
    pcm_sha256: str


@dataclass(frozen=True)
class Native:
    """A file's own samples: float32 (n, channels) in [-1, 1] for integer formats."""

    samples: np.ndarray
    rate: int

    @property
    def channels(self) -> int:
        """Number of channels in the file."""
        return int(self.samples.shape[1])

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.rate


def settings() -> dict[str, object]:
    """Return what turns a file into samples, for cache keys (plain JSON values)."""
    return {
        "version": DECODE_VERSION,
        "mono": "mean",
        "resampler": "soxr",
        "quality": SOXR_QUALITY,
    }


def load(path: Path, rate: int = 16000) -> Audio:
    """Decode, mix to mono (mean of the channels) and resample one file.

    Args:
        path: the audio file, in any format soundfile or FFmpeg reads.
        rate: wanted samples per second.

    Raises:
        ClipError: the clip cannot be used; `<file name>: <reason>`.
    """
    try:
        native = decode(path)
    except ClipError as error:
        raise ClipError(f"{path.name}: {error}") from error
    return Audio(
        samples=resample(_mono(native.samples), native.rate, rate),
        rate=rate,
        native_rate=native.rate,
        channels=native.channels,
        pcm_sha256=pcm_sha256(native),
    )


def decode(path: Path) -> Native:
    """Return a file's own samples, checked.

    Raises:
        ClipError: the reason alone, which depends on nothing but the file's bytes: empty,
            not audio, truncated (fewer samples than the header promises), NaN or infinite
            samples, shorter than `MIN_SECONDS`, or silent. Silent means digital silence only:
            once mixed to mono, every sample has the same value; quiet recordings are kept.
        OSError: the file cannot be opened at all.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if not magic:
        raise ClipError("the file is empty (0 bytes)")
    _refuse_short_wav(path)
    native = (_by_soundfile(path) if magic in _SOUNDFILE_READS else None) or _by_ffmpeg(path)
    if not len(native.samples):
        raise ClipError("holds no audio samples")
    if not np.isfinite(native.samples).all():
        raise ClipError("holds NaN or infinite samples")
    if native.seconds < MIN_SECONDS:
        raise ClipError(f"lasts {native.seconds:.3f} s, less than the {MIN_SECONDS} s needed")
    mono = _mono(native.samples)
    if mono.max() == mono.min():
        raise ClipError("is silent: every sample has the same value")
    return native


def resample(samples: np.ndarray, native_rate: int, rate: int) -> np.ndarray:
    """Return float32 (n,) samples at `rate`; unchanged where the rates agree."""
    if native_rate == rate:
        return samples
    return np.asarray(soxr.resample(samples, native_rate, rate, quality=SOXR_QUALITY), np.float32)


def pcm_sha256(native: Native) -> str:
    """Hash what was recorded, whatever the container.

    Rate, channel count and the interleaved float32 little-endian samples as decoded, before any
    mixing: a FLAC and the WAV it was made from agree, up to 24 bits per sample. A stereo file
    with two identical channels differs from its mono twin.
    """
    digest = hashlib.sha256(f"{native.rate}/{native.channels}/".encode())
    # + 0.0 turns -0.0, which only float files hold, into 0.0
    digest.update(np.ascontiguousarray(native.samples + np.float32(0.0), dtype="<f4").data)
    return digest.hexdigest()


def _mono(samples: np.ndarray) -> np.ndarray:
    if samples.shape[1] == 1:
        return samples[:, 0]
    return samples.mean(axis=1, dtype=np.float32)


def _by_soundfile(path: Path) -> Native | None:
    """Return the samples, or None where FFmpeg should try instead."""
    try:
        with soundfile.SoundFile(path) as file:
            promised = file.frames
            samples = file.read(dtype="float32", always_2d=True)
            rate = file.samplerate
    except soundfile.LibsndfileError:
        return None
    if len(samples) < promised:
        raise ClipError(f"is truncated: {promised} samples promised, {len(samples)} found")
    return Native(samples, rate)


def _by_ffmpeg(path: Path) -> Native:
    try:
        # errors="replace": a tag in Latin-1, common in MP3 files, is no reason to refuse a clip
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise ClipError("holds no audio stream")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise ClipError("holds audio of an unknown codec")
            rate = stream.codec_context.sample_rate
            resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
            blocks = [
                block.to_ndarray()
                for frame in container.decode(stream)
                for block in resampler.resample(frame)
            ]
            blocks += [block.to_ndarray() for block in resampler.resample(None)]
            promised = _promised_seconds(container, stream)
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise ClipError(f"is not audio that can be decoded ({reason})") from error
    if not blocks:
        raise ClipError("holds no audio samples")
    native = Native(np.ascontiguousarray(np.concatenate(blocks, axis=1).T), rate)
    if native.seconds < promised - _LENGTH_TOLERANCE_SECONDS:
        raise ClipError(f"is truncated: {promised:.2f} s promised, {native.seconds:.2f} s found")
    return native


def _promised_seconds(
    container: av.container.InputContainer, stream: av.audio.stream.AudioStream
) -> float:
    """Return the length the header declares, 0 where it is absent or only an estimate."""
    if container.format.name == "mp3":
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return 0.0


def _refuse_short_wav(path: Path) -> None:
    """Raise where a WAV's data chunk is longer than the file: libsndfile shortens it silently."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            found = size - file.tell()
            if chunk[:4] == b"data":
                if found < length < _UNKNOWN_LENGTH:
                    raise ClipError(f"is truncated: {length} bytes promised, {found} found")
                return
            file.seek(length + length % 2, 1)
