"""Reads the media of one job: each opened within the budgets and measured once, until somebody stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from PIL import Image

from common import cache
from common.contract import ImageFrom, MediaHandle
from common.errors import MediaError
from common.media import files, pictures
from common.media.clips import Clip
from common.media.pictures import Size
from common.media.sound import Sound
from common.media.watch import Watch
from common.modes import rules
from common.runtime.job import Job

Frame = Image.Image


class Reader:
    """What a mode's `inputs` opens its media with, and tells what it changed. Use it in a `with`."""

    def __init__(self, job: Job | None = None) -> None:
        self.job = job or Job()
        self.watch = Watch(self.job.check)
        self._clips: dict[Path, Clip] = {}
        self._sounds: dict[Path, Sound] = {}
        self._held = ExitStack()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for clip in self._clips.values():
            clip.close()
        self._held.close()

    @property
    def notices(self) -> list[str]:
        """What was said so far."""
        return self.job.notices

    def check(self, done: int = 0, total: int = 0) -> None:
        """For every loop over frames: raises Cancelled once the job is stopped, says how far the stage is."""
        self.job.check(done, total)

    def stage(self, text: str) -> None:
        """What is done from now on, in words."""
        self.job.stage("prepare", text)

    def note(self, text: str) -> None:
        """Something was changed or should be known; said once."""
        self.job.note(text)

    def hold(self, path: Path) -> None:
        """A file that the job reads until it ends: no sweep may take it, however long that is."""
        self._held.enter_context(cache.holding([str(path)]))

    def measured(self, handle: MediaHandle, field: str, kind: str = "") -> MediaHandle:
        """The handle with mime, size, length and hash filled in from the file itself.

        `kind` is that of the slot, whatever the file's name says: a GIF that fills a slot for clips is no picture,
        and of a clip that fills one for sounds its sound is measured. Without, the name says what it is.
        """
        path = files.local_file(handle, field)
        self.check()
        facts: dict[str, object] = {"sha256": files.sha256(path), "mime": handle.media_type}
        if kind == "audio" or (not kind and files.is_sound(handle)):
            facts |= {"seconds": round(self.sound(handle, field).seconds, 3), "has_audio": True}
        elif kind == "video" or files.is_video(handle):
            clip = self._clip(handle, field)
            facts |= dict(zip(("width", "height"), clip.size, strict=True))
            facts |= {**_figures(clip), "has_audio": clip.has_sound}
        else:
            width, height = pictures.picture_size(handle, field)
            facts |= {"width": width, "height": height}
        return handle.model_copy(update=facts)

    def picture(self, handle: MediaHandle, field: str, need: Size | None = None) -> Frame:
        """An upright RGB picture, no larger than it takes to cover `need`."""
        with self.watch.decoding(field):
            return pictures.open_image(handle, field, need, self.note)

    def mask(self, handle: MediaHandle, field: str, need: Size | None = None) -> Frame:
        """A picture of a mask, as large: where it is transparent it is black."""
        with self.watch.decoding(field):
            return pictures.open_mask(handle, field, need, self.note)

    def frame(
        self, handle: MediaHandle, field: str, image_from: ImageFrom = "first", need: Size | None = None
    ) -> Frame:
        """What fills an image slot: the picture, or a clip's first or last frame or that at so many seconds."""
        if not files.is_video(handle):
            return self.picture(handle, field, need)
        clip = self._clip(handle, field)
        if image_from == "first":
            number = 0
        elif image_from == "last":
            number = clip.count - 1
        elif image_from < clip.seconds + 1e-6:
            number = clip.shown_at(image_from)
        else:
            rule = f"must lie within the clip of {clip.seconds:.2f} s"
            raise MediaError(f"{field}_from", rule, got=f"{image_from:g} s", hint="try last")
        return next(clip.pictures([number], need))

    def clip(
        self,
        handle: MediaHandle,
        field: str,
        fps: int,
        most: int,
        *,
        need: Size | None = None,
        each: Callable[[Frame], Frame] = lambda frame: frame,
        from_end: bool = False,
    ) -> list[Frame]:
        """At most `most` frames at `fps`, the nearest of the clip's own; `each` is applied as they are read.

        The first ones, or with `from_end` those that end with the clip's very last.
        """
        clip = self._clip(handle, field)
        total = min(_length(clip, handle, fps), most)
        numbers = clip.to_the_last(fps, total) if from_end else [clip.nearest(k / fps) for k in range(total)]
        return [each(frame) for frame in clip.pictures(numbers, need)]

    def to_the_last(
        self, handle: MediaHandle, field: str, fps: int, *, need: Size | None = None
    ) -> Iterator[Frame]:
        """All frames at `fps`, one by one, decoded as they are taken; the clip's very last is the last of them."""
        clip = self._clip(handle, field)
        total = _length(clip, handle, fps)
        for number, frame in enumerate(clip.pictures(clip.to_the_last(fps, total), need), 1):
            self.check(number, total)
            yield frame

    def by_number(
        self,
        handle: MediaHandle,
        field: str,
        fps: int,
        *,
        need: Size | None = None,
        each: Callable[[Frame], Frame] = lambda frame: frame,
    ) -> Callable[[Sequence[int]], Iterator[Frame]]:
        """Reads frames at `fps` by their rising numbers, decoded as they are asked for: long clips are not held.

        Those beyond the clip's end do not come.
        """
        clip = self._clip(handle, field)
        count = _length(clip, handle, fps)

        def read(numbers: Sequence[int]) -> Iterator[Frame]:
            for frame in clip.pictures([clip.nearest(n / fps) for n in numbers if n < count], need):
                yield each(frame)

        return read

    def length(self, handle: MediaHandle, field: str, fps: int) -> int:
        """Frames of a clip at `fps`."""
        return _length(self._clip(handle, field), handle, fps)

    def sound(self, handle: MediaHandle, field: str) -> Sound:
        """The sound, or that of a clip, measured."""
        path = files.local_file(handle, field)
        if path not in self._sounds:
            self._sounds[path] = Sound(path, field, files.shown_name(handle), self.watch)
        return self._sounds[path]

    def _clip(self, handle: MediaHandle, field: str) -> Clip:
        path = files.local_file(handle, field)
        if path not in self._clips:
            self._clips[path] = Clip(path, field, files.shown_name(handle), self.watch)
        return self._clips[path]


def _figures(clip: Clip) -> dict[str, object]:
    """What a handle says of a clip."""
    return {"frames": clip.count, "fps": round(clip.fps, 3), "seconds": round(clip.seconds, 3)}


def _length(clip: Clip, handle: MediaHandle, fps: int) -> int:
    """Frames of a clip at `fps`, as the plan has counted them: by the same rounded figures."""
    return rules.clip_length(handle.model_copy(update=_figures(clip)), fps) or 1
