"""Generated sound in the containers that sites send, small and made in milliseconds."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import OutputContainer

Kind = Literal["webm", "m4a", "m4a-index-at-end", "mp3", "wav"]

# container, its options, codec, samples per second, sample format
_HOW: dict[Kind, tuple[str, dict[str, str], str, int, str]] = {
    "webm": ("webm", {}, "libopus", 48_000, "flt"),
    "m4a": ("mp4", {"movflags": "+faststart"}, "aac", 16_000, "fltp"),
    "m4a-index-at-end": ("mp4", {}, "aac", 16_000, "fltp"),
    "mp3": ("mp3", {}, "libmp3lame", 16_000, "fltp"),
    "wav": ("wav", {}, "pcm_s16le", 16_000, "s16"),
}
SUFFIXES: dict[Kind, str] = {
    "webm": "webm",
    "m4a": "m4a",
    "m4a-index-at-end": "m4a",
    "mp3": "mp3",
    "wav": "wav",
}
_FRAME = 960


def tone(seconds: float, seed: int = 0, rate: int = 16_000) -> np.ndarray:
    """A chord with a slow beat, mono float32 (n,); each seed has its own pitches."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitches = generator.uniform(150, 1500, size=3)
    waves = np.sin(2 * np.pi * pitches[:, None] * time + generator.uniform(0, 6, size=(3, 1)))
    beat = 0.6 + 0.4 * np.sin(2 * np.pi * generator.uniform(0.5, 3) * time)
    return (0.25 * beat * waves.mean(axis=0)).astype(np.float32)


def encoded(
    kind: Kind,
    seconds: float = 5.0,
    seed: int = 0,
    samples: np.ndarray | None = None,
    bit_rate: int = 32_000,
    title: str | None = None,
) -> bytes:
    """Return a file of sound.

    Args:
        kind: container and codec.
        seconds: how long, unless samples say it.
        seed: see `tone`.
        samples: mono float32 (n,) at 16 kHz instead of a tone.
        bit_rate: where the codec has one.
        title: text in its header.
    """
    container, options, codec, rate, layout = _HOW[kind]
    wave = tone(seconds, seed) if samples is None else samples
    if rate != 16_000:
        wave = np.repeat(wave, rate // 16_000)
    with _written(container, options) as (output, content):
        if title is not None:
            output.metadata["title"] = title
        stream = output.add_stream(codec, rate=rate, layout="mono")
        stream.codec_context.format = layout
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(
            format=layout, layout="mono", rate=rate, frame_size=stream.frame_size or _FRAME
        )
        whole = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        whole.sample_rate = rate
        whole.pts = 0
        for frames in (resampler.resample(whole), resampler.resample(None)):
            for frame in frames:
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return content[0]


def picture(seconds: float = 2.0) -> bytes:
    """Return a video without sound."""
    with _written("mp4", {"movflags": "+faststart"}) as (output, content):
        stream = output.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(int(seconds * 5)):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return content[0]


def shifted(whole: bytes, container: str, move: Callable[[float], float]) -> bytes:
    """Return the same packets of sound at other times.

    Args:
        whole: a file of sound.
        container: to write.
        move: from the seconds at which a packet begins to those at which it shall.
    """
    with (
        av.open(io.BytesIO(whole)) as source,
        _written(container, {}) as (output, content),
    ):
        stream = source.streams.audio[0]
        copy = output.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is not None and packet.size:
                begins = move(float(packet.pts * packet.time_base))
                packet.pts = packet.dts = round(begins / packet.time_base)
                packet.stream = copy
                output.mux(packet)
    return content[0]


@contextmanager
def _written(
    container: str, options: dict[str, str]
) -> Iterator[tuple[OutputContainer, list[bytes]]]:
    """Yield what to write to, and a list that holds the bytes after the block."""
    content: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        # a real file: an index is moved to the front by reading what was written
        path = Path(folder) / "sound"
        with av.open(str(path), "w", format=container, options=options) as output:
            yield output, content
        content.append(path.read_bytes())
