"""Sounds: any format that people record or export, read as samples whose first is the file's first moment."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from math import ceil
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray

from common.budgets import BUDGETS
from common.errors import MediaError
from common.media.opening import open_sound, packets
from common.media.watch import Watch

SPEECH_RATE = 16_000
"""Samples a second of what a speech model hears."""
HEARD_RATE = 48_000
"""Samples a second of what people hear."""
RATES = (1_000, 768_000)
"""Samples a second that a file may have: outside, a resampler's filter takes all memory."""
PIECE = 16_384
"""Samples that are looked at together: a packet holds few, and each look costs."""
SILENCE = 1e-3
"""A sound whose `loudest` is below (-60 dB) holds nothing that anybody hears."""

TIMED = ("mov,mp4", "matroska", "mpegts", "asf")
"""Containers whose times are a clock's: what they leave out is silence. Elsewhere times only count the samples."""
SUMMED = ("mov,mp4", "flac")
"""Containers whose header says how long the sound is to the sample, and goes on saying so when they are cut."""
GAP = 0.1
"""Seconds by which times may be off before they mean something: containers round them, codecs pad."""
TOLERATED = 0.02
"""Of a sound: so much may be missing at its end."""
DAMAGED = 0.1
"""Of all packets: so many may be unreadable; they become silence, as in any player."""


class Samples(NamedTuple):
    """A piece of sound: `values` is float32 [channels, samples] within ±1, `rate` samples a second."""

    values: NDArray[np.float32]
    rate: int


class Sound:
    """One sound of a job, or the sound track of a clip. `name` is how errors show it.

    Measured by decoding all of it once (ten minutes take two seconds): headers lie, leave out what an encoder
    put before the first sample, and do not know what is damaged. `seconds` is the true length, from the first
    picture of a clip or the first sample; `rate` and `channels` are the file's own. `loudest` is half the way
    between the highest and the lowest sample of the mono mix, 1 at full scale: an offset counts for nothing.
    MediaError for all that is no sound, too long, damaged or cut short.
    """

    def __init__(self, path: Path, field: str, name: str, watch: Watch) -> None:
        self.path, self.field, self.name, self.watch = path, field, name, watch
        self.rate, self.channels, promised = self._header()
        count, low, high = 0, np.inf, -np.inf
        for block in self._blocks("mono", self.rate):
            count += block.shape[1]
            low, high = block.min(initial=low), block.max(initial=high)
        self.seconds = self._true_length(count / self.rate, promised)
        self.loudest = float(high - low) / 2

    def speech(self, start: float = 0, seconds: float | None = None) -> NDArray[np.float32]:
        """[samples] at 16 kHz, all channels in one: the mean of a stereo's two; what a speech model hears.

        From `start`, for `seconds` or to the end; shorter where the sound ends before.
        """
        return self._cut("mono", SPEECH_RATE, start, seconds)[0]

    def heard(self, start: float = 0, seconds: float | None = None) -> Samples:
        """The same piece as people hear it: 48 kHz, mono as mono, everything else as stereo."""
        layout = "mono" if self.channels == 1 else "stereo"
        return Samples(self._cut(layout, HEARD_RATE, start, seconds), HEARD_RATE)

    def _cut(self, layout: str, rate: int, start: float, seconds: float | None) -> NDArray[np.float32]:
        end = self.seconds if seconds is None else min(start + seconds, self.seconds)
        first, last = round(start * rate), round(end * rate)
        found = [np.zeros((1 if layout == "mono" else 2, 0), np.float32)]
        here = 0
        with closing(self._blocks(layout, rate)) as blocks:
            for block in blocks:
                if here + block.shape[1] > first:  # an empty part would keep the whole in memory
                    found.append(block[:, max(first - here, 0) : max(last - here, 0)])
                here += block.shape[1]
                if here >= last:
                    break
        return np.concatenate(found, axis=1)

    # ------------------------------------------------------------------ measures

    def _header(self) -> tuple[int, int, float | None]:
        """Rate and channels as they are decoded: a header may say half of either (HE-AAC); and `_promised`."""
        with self._open() as container:
            stream = self._track(container)
            for item in self._decoded(container, stream):
                if isinstance(item, av.AudioFrame):
                    return item.sample_rate, item.layout.nb_channels, _promised(container, stream)
        raise self._unreadable()

    def _true_length(self, decoded: float, promised: float | None) -> float:
        """Seconds without the padding of the last packet, where the header knows."""
        if promised is None:
            return decoded
        if decoded < promised * (1 - TOLERATED) - GAP:
            raise self._damaged(f"of its {promised:.1f} s {decoded:.1f} can be read")
        return promised if 0 < decoded - promised < GAP else decoded

    # ------------------------------------------------------------------ decoding

    def _blocks(self, layout: str, rate: int) -> Generator[NDArray[np.float32], None, None]:
        """[channels, samples] in pieces, from the file's first moment to its last."""
        resampler, form = None, None
        with closing(self._items()) as items:
            for item in items:
                if resampler and (not isinstance(item, av.AudioFrame) or _form(item) != form):
                    yield from self._resampled(resampler, None)  # the file goes on in another form
                    resampler = None
                if not isinstance(item, av.AudioFrame):
                    yield np.zeros((1 if layout == "mono" else 2, round(item * rate)), np.float32)
                    continue
                if not resampler:
                    # Sums stay within full scale: else a stereo's mono is 3 dB too loud, a 5.1 is 8.
                    options = {"rematrix_maxval": "1.0"}
                    resampler = av.AudioResampler("fltp", layout, rate, PIECE, options=options)
                    form = _form(item)
                yield from self._resampled(resampler, item)
        if resampler:
            yield from self._resampled(resampler, None)

    def _resampled(
        self, resampler: av.AudioResampler, frame: av.AudioFrame | None
    ) -> Iterator[NDArray[np.float32]]:
        with self.watch.decoding(self.field):
            try:
                made = [part.to_ndarray() for part in resampler.resample(frame)]
            except (FFmpegError, ValueError) as error:  # of channels that nobody has named
                rule = "must have channels in a usual layout, such as mono, stereo or 5.1"
                got = frame.layout.name if frame else None
                raise MediaError(self.field, rule, got=got, hint="export it as stereo") from error
        for values in made:
            # Beyond full scale is cut off, as any player does; what is no number is silence.
            yield np.nan_to_num(values, posinf=1, neginf=-1).clip(-1, 1).astype(np.float32)

    def _items(self) -> Generator[av.AudioFrame | float, None, None]:
        """Decoded frames; and in seconds the silences before and between them."""
        with self._open() as container:
            stream = self._track(container)
            timed = container.format.name.startswith(TIMED)
            due = _first_picture(container) if timed else None  # when the next frame should come
            read, silence = 0.0, 0.0
            for item in self._decoded(container, stream):
                if not isinstance(item, av.AudioFrame):
                    silence += item
                    due = None if due is None else due + item
                    continue
                lasts = item.samples / item.sample_rate
                if timed and item.time is not None:
                    if due is None or (not read and item.time < due):
                        due = item.time
                    if item.time - due > (GAP if read else 0):  # times that step back are taken for a slip
                        silence, due = silence + item.time - due, item.time
                if due is not None:
                    due += lasts
                read += silence + lasts
                if read > BUDGETS.sound_seconds + GAP:
                    raise self._too_long(container)
                if silence:
                    yield silence
                silence = 0.0
                yield item

    def _decoded(self, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame | float]:
        """Decoded frames; and of packets that cannot be decoded how many seconds they last."""
        following = packets(container, stream)
        count = bad = 0
        while True:
            with self.watch.decoding(self.field):
                try:
                    packet = next(following, None)
                except FFmpegError:
                    packet = None  # cut short
                if packet is None:
                    break
                count += 1
                try:
                    frames = packet.decode()
                except FFmpegError:
                    bad += 1
                    frames = [float((packet.duration or 0) * (packet.time_base or 0))]
            for item in frames:
                if isinstance(item, av.AudioFrame) and not RATES[0] <= item.sample_rate <= RATES[1]:
                    raise self._no_rate(item.sample_rate)
                if not isinstance(item, av.AudioFrame) or item.samples:
                    yield item
        if bad > max(count * DAMAGED, 1):
            raise self._damaged(f"{bad} of its {count} packets cannot be decoded")

    # ------------------------------------------------------------------ files

    def _open(self) -> InputContainer:
        try:
            return open_sound(self.path)
        except (FFmpegError, OSError, ValueError) as error:
            raise self._unreadable() from error

    def _track(self, container: InputContainer) -> AudioStream:
        """The sound that a player would play."""
        stream = container.streams.best("audio")
        if not isinstance(stream, AudioStream):
            raise MediaError(self.field, "has no sound", hint="give a sound, or a clip with one")
        return stream

    def _no_rate(self, rate: int) -> MediaError:
        rule = f"must have {RATES[0]} to {RATES[1]} samples a second"
        return MediaError(self.field, rule, got=rate, hint="export it with 48000")

    def _too_long(self, container: InputContainer) -> MediaError:
        said = (container.duration or 0) / av.time_base
        got = f"{said:.0f} s" if said > BUDGETS.sound_seconds else None
        rule = f"must be at most {BUDGETS.sound_seconds} s long"
        return MediaError(self.field, rule, got=got, hint="cut it shorter")

    def _unreadable(self) -> MediaError:
        return MediaError(self.field, f"is not a readable sound: {self.name}", hint="export it as WAV or MP3")

    def _damaged(self, how: str) -> MediaError:
        rule = f"is damaged or cut short: {self.name}, {how}"
        return MediaError(self.field, rule, hint="export it again as WAV or MP3")


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    """What a resampler is made for."""
    return frame.format.name, frame.layout.name, frame.sample_rate


def _promised(container: InputContainer, stream: AudioStream) -> float | None:
    """Seconds of the sound from the file's first moment, by a header that knows them to the sample."""
    if not container.format.name.startswith(SUMMED) or not stream.duration or not stream.time_base:
        return None
    lasts, start = (float((ticks or 0) * stream.time_base) for ticks in (stream.duration, stream.start_time))
    pictures = _first_picture(container)
    return lasts if pictures is None else lasts + max(start - pictures, 0)


def _first_picture(container: InputContainer) -> float | None:
    """When a clip begins by the container's clock; None without pictures. A cover is none."""
    times = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
        and stream.start_time is not None
        and stream.time_base
    ]
    return min(times, default=None)


def loudness(samples: NDArray[np.float32], rate: int, fps: float) -> NDArray[np.float32]:
    """RMS of mono `samples` [n] in each frame at `fps`, [ceil(n * fps / rate)]; full scale is 1, its sine 0.707.

    The last frame is that of what is left. A constant offset counts for nothing.
    """
    count = max(ceil(len(samples) * fps / rate - 1e-6), 0)
    if not count:
        return np.zeros(0, np.float32)
    edges = np.round(np.arange(count + 1) * (rate / fps)).astype(np.int64).clip(0, len(samples))
    values = samples.astype(np.float64)
    energy = np.concatenate([[0.0], np.cumsum((values - values.mean()) ** 2)])
    spans = np.maximum(np.diff(edges), 1)
    return np.sqrt(np.maximum(np.diff(energy[edges]), 0) / spans).astype(np.float32)
