"""Sounds for tests: a tone with two clicks at known times, in any format that PyAV writes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from common.media.sound import Sound
from common.media.watch import Watch

CLICKS = (0.5, 1.25)
"""Seconds."""
TONE = 330
"""Hertz."""
SECONDS = 2.0


def values(
    rate: int, channels: int = 1, seconds: float = SECONDS, clicks: Sequence[float] = CLICKS
) -> np.ndarray:
    """[channels, samples] float32: a tone of 0.2 with clicks of 0.9, the same in all channels."""
    one = 0.2 * np.sin(2 * np.pi * TONE * np.arange(round(seconds * rate)) / rate)
    for click in clicks:
        one[round(click * rate)] = 0.9
    return np.repeat(one[None], channels, 0).astype(np.float32)


def encode(
    out: av.container.OutputContainer,
    stream: av.AudioStream,
    samples: np.ndarray,
    rate: int,
    layout: str,
    start: float = 0,
) -> None:
    packed = np.ascontiguousarray(samples.T.reshape(1, -1))
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = round(start * rate)
    size = stream.codec_context.frame_size or 1024
    cut = av.AudioResampler(stream.codec_context.format, layout, rate, frame_size=size)
    for piece in [*cut.resample(frame), *cut.resample(None)]:
        out.mux(stream.encode(piece))


def write(
    path: Path,
    codec: str,
    rate: int = 44_100,
    form: str = "fltp",
    layout: str = "stereo",
    samples: np.ndarray | None = None,
    options: Mapping[str, str] = {},
    container: Mapping[str, str] = {},
) -> Path:
    """A sound file; the tone with its clicks unless other `samples` [channels, n] are given."""
    if samples is None:
        samples = values(rate, av.AudioLayout(layout).nb_channels)
    with av.open(str(path), "w", options=dict(container)) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout, options=dict(options))
        stream.codec_context.format = form
        encode(out, stream, samples, rate, layout)
        out.mux(stream.encode(None))
    return path


def wav(path: Path, samples: np.ndarray, rate: int, size: int | None = None) -> Path:
    """A WAV of int16 or float32 [channels, n], byte by byte; `size` is what its header says, if not the truth."""
    data = np.ascontiguousarray(samples.T).astype(samples.dtype.newbyteorder("<")).tobytes()
    said = len(data) if size is None else size
    channels, depth = len(samples), samples.dtype.itemsize
    head = struct.pack("<HHIIHH", 3 if samples.dtype.kind == "f" else 1, channels, rate, rate * channels * depth,
                       channels * depth, depth * 8)  # fmt: skip
    whole = min(said + 36, 0xFFFFFFFF)
    path.write_bytes(
        b"RIFF" + struct.pack("<I", whole) + b"WAVEfmt " + struct.pack("<I", len(head)) + head
        + b"data" + struct.pack("<I", said) + data
    )  # fmt: skip
    return path


def clip(path: Path, pieces: Mapping[float, np.ndarray], rate: int = 48_000, seconds: float = 3) -> Path:
    """A black clip of 10 frames a second, with pieces [1, n] of sound that begin at these seconds."""
    codec = "libopus" if path.suffix == ".webm" else "aac"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound = out.add_stream(codec, rate=rate, layout="mono") if pieces else None
        for _ in range(round(seconds * 10)):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(video.encode())
        if sound:
            for start, samples in pieces.items():
                encode(out, sound, samples, rate, "mono", start)
            out.mux(sound.encode(None))
    return path


def opened(path: Path, watch: Watch | None = None) -> Sound:
    return Sound(path, "audio", repr(path.name), watch or Watch())


def clicks(samples: np.ndarray, rate: int, near: Sequence[float] = CLICKS) -> list[float]:
    """Seconds of the loudest samples within 0.1 s of these moments."""
    found: list[float] = []
    for moment in near:
        first = max(round((moment - 0.1) * rate), 0)
        part = np.abs(samples[..., first : round((moment + 0.1) * rate)])
        found.append((first + int(part.reshape(-1, part.shape[-1]).max(0).argmax())) / rate)
    return found
