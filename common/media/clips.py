"""Clips: measured from their packets, decoded only from where a frame is wanted, and scaled as they are decoded."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from common.budgets import BUDGETS
from common.errors import MediaError
from common.media.opening import open_clip, packets
from common.media.pictures import Size, covering
from common.media.watch import Watch
from common.modes import rules

STILL_FPS = 16.0
"""For a clip of one frame that tells no rate."""
TRUSTED = 0.05
"""How far a header's frame rate may be from what the frames' times say."""
WITHHELD = 2
"""Frames at the end that a decoder may keep to itself though their packets are there."""


class Clip:
    """One clip of a job. `name` is how errors show it."""

    def __init__(self, path: Path, field: str, name: str, watch: Watch) -> None:
        self.path, self.field, self.name, self.watch = path, field, name, watch
        self._container: InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._held: tuple[int, av.VideoFrame] | None = None
        self._reformat = VideoReformatter()
        self._measure()

    # ------------------------------------------------------------------ measures

    def _measure(self) -> None:
        """Counts the packets that are shown: headers may lie or say nothing, and decoding costs a thousandfold."""
        with self._open() as container:
            stream = self._video(container)
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            self._within(stream.frames, stream.frames / rate if rate else 0)
            self.has_sound = False
            shown, keys = self._packets(container, stream)
            self.count = len(shown)
            if not self.count:
                raise self._no_frames()
            pts = sorted(p for p in shown if p is not None)
            start = pts[0] if pts else 0
            timed = len(pts) == self.count
            self._pts, self._keys = (pts, sorted(keys)) if timed else ([], [])
            self.fps = _rate(
                rate, [float((p - start) * (stream.time_base or 0)) for p in pts] if timed else []
            )
            self.times = (
                [float((p - start) * (stream.time_base or 0)) for p in pts]
                if timed
                else [i / self.fps for i in range(self.count)]
            )
            self.seconds = self.count / self.fps
            self._within(self.count, self.seconds)

    def _packets(self, container: InputContainer, stream: VideoStream) -> tuple[list[int | None], list[int]]:
        shown: list[int | None] = []
        keys: list[int] = []
        sounds = {track.index for track in container.streams.audio}
        following = packets(
            container
        )  # of all streams: a sound that never ends is counted against the time too
        while True:
            with self.watch.decoding(self.field):
                try:
                    packet = next(following, None)
                except FFmpegError as error:
                    raise self._unreadable() from error
            if packet is None:
                return shown, keys
            self.has_sound |= packet.stream_index in sounds and packet.size > 0
            if packet.stream_index != stream.index or not packet.size or packet.is_discard:
                continue  # another stream, the end's empty one, or cut off by an edit list
            if stream.codec_context.name.startswith(("vp8", "libvpx")) and not bytes(packet)[0] & 0x10:
                continue  # VP8's reference frames that are never shown
            shown.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            self._within(len(shown), 0)

    def _within(self, frames: int, seconds: float) -> None:
        if frames > BUDGETS.clip_frames:
            rule = f"must have at most {BUDGETS.clip_frames} frames"
            raise MediaError(self.field, rule, hint="cut it shorter")
        if seconds > BUDGETS.clip_seconds:
            rule = f"must be at most {BUDGETS.clip_seconds} s long"
            raise MediaError(self.field, rule, got=f"{seconds:.0f} s", hint="cut it shorter")

    @property
    def size(self) -> Size:
        """Width and height as it is meant to be seen, which the first frame says: a header knows no rotation."""
        if self._held is None:
            self._start()
            if not self._advance():
                raise self._no_frames()
        assert self._held is not None
        return _upright(self._held[1])

    # ------------------------------------------------------------------ which frames

    def shown_at(self, seconds: float) -> int:
        """The frame that is on screen."""
        return max(bisect_right(self.times, seconds + 1e-6) - 1, 0)

    def nearest(self, seconds: float) -> int:
        """The frame nearest in time; one that is held for long stays until the next is about to come."""
        index = max(bisect_right(self.times, seconds) - 1, 0)
        if index + 1 == self.count:
            return index
        gap = min(self.times[index + 1] - self.times[index], 1 / self.fps)
        left = (self.times[index + 1] - seconds) / gap
        return index if left >= 1 else round(index + 1 - left)

    def to_the_last(self, fps: float, total: int) -> list[int]:
        """`total` frames at `fps`, counted back from the very last one, which is the last of them too."""
        return [self.nearest(self.times[-1] - k / fps) for k in reversed(range(total))]

    # ------------------------------------------------------------------ frames

    def pictures(self, numbers: Sequence[int], need: Size | None = None) -> Iterator[Image.Image]:
        """The frames of these ascending numbers, upright, each no larger than it takes to cover `need`."""
        made: tuple[int, Image.Image] | None = None
        for wanted in numbers:
            if made is None:
                self._go_to(wanted)
            while self._held is None or self._held[0] < wanted:
                if not self._advance():
                    self._ended(wanted)
                    break
            assert self._held is not None
            if made is None or made[0] != self._held[0]:
                made = (self._held[0], self._picture(self._held[1], need))
            yield made[1]

    def close(self) -> None:
        """Lets the file go."""
        if self._container is not None:
            self._container.close()
        self._container, self._held, self._frames = None, None, iter(())

    def _go_to(self, wanted: int) -> None:
        """Decoding begins at the last key frame before `wanted`, unless it has come further already."""
        here = self._held[0] if self._held else -1
        key = bisect_right(self._keys, self._pts[wanted]) - 1 if self._pts else -1
        index = bisect_left(self._pts, self._keys[key]) if key >= 0 else 0
        if here > wanted or self._container is None:
            self._start()
            here = -1
        if index > max(here, 0) and self._container is not None:
            stream = self._video(self._container)
            try:
                self._container.seek(self._keys[key], stream=stream)
                self._held, self._frames = None, self._decoded(self._container)
                if self._advance() and self._held is not None and self._held[0] <= wanted:
                    return
            except FFmpegError:
                pass  # a container that cannot seek is read from its start
            self._start()

    def _start(self) -> None:
        self.close()
        self._container = self._open()
        self._frames = self._decoded(self._container)

    def _advance(self) -> bool:
        """Decodes one frame more; False at the end."""
        frame = next(self._frames, None)
        if frame is None:
            return False
        after = self._held[0] + 1 if self._held else 0
        known = bisect_left(self._pts, frame.pts) if self._pts and frame.pts is not None else after
        self._held = (known, frame)
        return True

    def _decoded(self, container: InputContainer) -> Iterator[av.VideoFrame]:
        for packet in packets(container, self._video(container)):
            with self.watch.decoding(self.field):
                try:
                    frames = packet.decode()
                except FFmpegError as error:
                    raise self._damaged(self._held[0] + 1) if self._held else self._unreadable() from error
            for frame in frames:
                if not isinstance(frame, av.VideoFrame):
                    continue
                if frame.width * frame.height > BUDGETS.frame_pixels:
                    raise self._too_large(frame.width, frame.height)
                yield frame

    def _picture(self, frame: av.VideoFrame, need: Size | None) -> Image.Image:
        upright = _upright(frame)
        width, height = covering(upright, need) if need else upright
        if _turn(frame) % 180:
            width, height = height, width
        with self.watch.decoding(self.field):
            if (width, height) == (frame.width, frame.height):
                image = frame.to_image()
            else:
                scaled = self._reformat.reformat(
                    frame, width, height, "rgb24", interpolation=Interpolation.LANCZOS
                )
                image = scaled.to_image()
        # A phone stores its clips lying on their side, and says so.
        return image.rotate(_turn(frame), expand=True) if _turn(frame) else image

    def _ended(self, wanted: int) -> None:
        if self._held is None:
            raise self._no_frames()
        if wanted - self._held[0] > WITHHELD:
            raise self._damaged(self._held[0] + 1)

    # ------------------------------------------------------------------ files

    def _open(self) -> InputContainer:
        try:
            return open_clip(self.path)
        except (FFmpegError, OSError, ValueError) as error:
            raise self._unreadable() from error

    def _video(self, container: InputContainer) -> VideoStream:
        """The picture track; the cover of a sound file is none."""
        for stream in container.streams.video:
            if not stream.disposition & Disposition.attached_pic:
                width, height = stream.codec_context.width, stream.codec_context.height
                if width * height > BUDGETS.frame_pixels:
                    raise self._too_large(width, height)
                return stream
        raise MediaError(self.field, "has no picture track", hint="give a clip, not a sound")

    def _too_large(self, width: int, height: int) -> MediaError:
        rule = f"must have frames of at most {BUDGETS.frame_pixels / 1e6:.3g} megapixels"
        return MediaError(self.field, rule, got=f"{width}x{height}", hint="scale it down")

    def _no_frames(self) -> MediaError:
        return MediaError(self.field, "has no frames", hint="export it as mp4 (H.264)")

    def _unreadable(self) -> MediaError:
        return MediaError(self.field, f"is not a readable clip: {self.name}", hint="export it as mp4 (H.264)")

    def _damaged(self, frames: int) -> MediaError:
        rule = f"is damaged or cut short: of the {self.count} frames of {self.name} {frames} can be read"
        return MediaError(self.field, rule, hint="export it again as mp4 (H.264)")


def _turn(frame: av.VideoFrame) -> int:
    """Degrees to turn by, whole quarters."""
    return round(frame.rotation / 90) * 90 % 360


def _upright(frame: av.VideoFrame) -> Size:
    return (frame.height, frame.width) if _turn(frame) % 180 else (frame.width, frame.height)


def _rate(said: float, times: Sequence[float]) -> float:
    """Frames a second: as the header says, unless the frames' own times say something else."""
    span = times[-1] if times else 0.0
    if span <= 0:
        return said or STILL_FPS
    measured = (len(times) - 1) / span
    return said if said and abs(measured / said - 1) <= TRUSTED else measured


def exactly(frames: list[Image.Image], count: int, field: str) -> list[Image.Image]:
    """The first `count` frames; InputError where there are fewer."""
    rules.enough(len(frames), count, field)
    return frames[:count]
