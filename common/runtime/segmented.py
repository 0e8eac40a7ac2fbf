"""An engine for long videos: one call of the GPU function a segment, each kept: a job goes on where another ended."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common import cache
from common.contract import Notice
from common.errors import StudioError
from common.media.shelf import Hold
from common.modes.base import Asked
from common.run.service import Ready, Update
from common.runtime.engine import Engine
from common.runtime.job import Job, Made, work
from common.runtime.sample.segments import Frames, Kept

VERSION = 1  # raise when the same plan makes other frames
_NOT_SEEN = {
    "notices", "placement", "segments", "expected_seconds", "gpu_seconds", "gpu_duration", "gpu_size",
}  # fmt: skip
"""What of a plan no frame follows from."""


class SegmentedEngine(Engine[Asked]):
    """Makes the segments of a plan one after the other, and the video of all of them.

    On ZeroGPU each is a reservation of its own: a long video asks for no day's quota at once, and loses one at most.
    """

    @abstractmethod
    def carried(self, ready: Ready[Asked]) -> int:
        """How many frames of the segment before a segment begins with."""

    def seen(self, ready: Ready[Asked]) -> int:
        """How many of the last frames of the segment before the model is shown: those that it begins with."""
        return self.carried(ready)

    @abstractmethod
    def made_from(self, ready: Ready[Asked]) -> str:
        """Names all that the frames follow from, beside the plan: equal for equal inputs."""

    def kept(self, ready: Ready[Asked], hold: Hold = lambda _: None) -> Kept:
        """Where the segments of a job lie."""
        plan = ready.plan.model_dump_json(exclude=_NOT_SEEN)
        made = [str(VERSION), plan, self.mode.said(ready.request), self.made_from(ready)]
        key = hashlib.sha256("\0".join(made).encode()).hexdigest()[:24]
        return Kept(cache.results() / "segments" / key, len(ready.plan.segments), hold)

    def reads(self, ready: Ready[Asked]) -> Iterable[Path]:
        folders = [getattr(given, "folder", None) for given in ready.inputs.values()]
        prepared = [path for folder in folders if isinstance(folder, Path) for path in folder.glob("[!.]*")]
        return prepared + (self.kept(ready).files(ready.segment - 1) if ready.segment else [])

    def writes(self, ready: Ready[Asked]) -> Iterable[Path]:
        return self.kept(ready).files(ready.segment)

    def tail(self, ready: Ready[Asked]) -> Frames | None:
        """What a segment goes on from: the last frames of the one before, None for the first."""
        if ready.segment == 0:
            return None
        return read(self.kept(ready), ready.segment - 1)[-self.seen(ready) :]

    def _made(self, ready: Ready[Asked], job: Job) -> Generator[Update, None, None]:
        count = len(ready.plan.segments)
        with ExitStack() as held:
            kept = self.kept(ready, lambda path: held.enter_context(cache.holding([str(path)])))
            missing = yield from work(lambda _: [index for index in range(count) if not kept.has(index)], job)
            if len(missing) < count:
                found = count - len(missing)
                text = f"{found} of {count} segments were there from before; the job goes on from them."
                yield None, Notice(text=text, t=job.seconds())
            for index in missing:
                yield from super()._made(replace(ready, segment=index), job)
                yield from work(
                    lambda _, made=index: kept.has(made), job
                )  # perhaps by a worker: held from now on
            made = yield from work(lambda job: self._joined(ready, kept, job), job)
        kept.clear()
        yield str(made.path), made.done

    def _work(self, ready: Ready[Asked], job: Job) -> Made | None:
        frames = np.stack([*self._sampled(ready, job)])
        self.kept(ready).write(ready.segment, frames)

    def _joined(self, ready: Ready[Asked], kept: Kept, job: Job) -> Made:
        def frames() -> Iterator[
            NDArray[np.uint8]
        ]:  # one segment at a time: twenty seconds at 720p are 1.7 GB
            for index in range(kept.count):
                yield from read(kept, index)[self.carried(ready) if index else 0 :]

        return self._written(ready, islice(frames(), ready.plan.num_frames), job)


def read(kept: Kept, index: int) -> Frames:
    """A segment that was made, or found, before: no sweep of ours takes it, but another process may have ended it."""
    if (frames := kept.read(index)) is None:
        raise StudioError(
            f"segment {index + 1} was deleted or damaged meanwhile; start again: the others are kept",
            title="A finished segment is gone",
        )
    return frames
