"""An engine whose video may begin with the clip that it goes on from: both are joined once the new part is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from common.contract import MediaHandle, Plan
from common.errors import MediaError
from common.media import pictures
from common.media.colours import Drift
from common.media.sound import Samples
from common.modes.base import Asked
from common.run.service import Ready, Update
from common.runtime.engine import Engine
from common.runtime.job import Job, Made
from common.runtime.reader import Reader
from common.runtime.sample.segments import Frames, Kept
from common.runtime.segmented import SegmentedEngine, read


class JoiningEngine(SegmentedEngine[Asked]):
    """Makes a clip in one piece, as any engine does; or, where it continues one, a segment that is joined to it.

    The clip is read to its end before the GPU is asked for anything: what cannot be joined costs nothing. On ZeroGPU
    it is the parent that joins, and the new part is kept until it has.
    """

    def carried(self, ready: Ready[Asked]) -> int:
        return 0

    def sound(self, ready: Ready[Asked]) -> Samples | None:
        """The clip's own, as long as the clip."""
        before = ready.plan.continues
        if before is None or not before.has_audio:
            return None
        clip, lasts = _clip(ready), before.frames / ready.plan.fps
        with Reader() as reader:
            return reader.sound(clip, before.slot).heard(max((clip.seconds or 0) - lasts, 0), lasts)

    def _opened(self, request: Asked, plan: Plan, reader: Reader) -> Ready[Asked]:
        ready = super()._opened(request, plan, reader)
        if (before := plan.continues) is None:
            return ready
        reader.stage("Reading the clip that goes on")
        for _ in given(ready, reader):
            pass
        if before.has_audio:
            try:
                reader.sound(_clip(ready), before.slot)
            except MediaError as error:
                reader.note(f"The clip's sound is left out: {error}.")
                silent = before.model_copy(update={"has_audio": False})
                return replace(ready, plan=plan.model_copy(update={"continues": silent}))
        return ready

    def _made(self, ready: Ready[Asked], job: Job) -> Generator[Update, None, None]:
        if ready.plan.continues is None:
            return Engine._made(self, ready, job)
        return super()._made(ready, job)

    def _work(self, ready: Ready[Asked], job: Job) -> Made | None:
        return Engine._work(self, ready, job) if ready.plan.continues is None else super()._work(ready, job)

    def _joined(self, ready: Ready[Asked], kept: Kept, job: Job) -> Made:
        return self._written(ready, joined(ready, read(kept, 0), job), job)


def joined(ready: Ready[Any], made: Frames, job: Job) -> Iterator[Frames]:
    """The given clip, then what was `made` [frames, height, width, 3], without the frames that are in both.

    Those tell by how much the colours have drifted, which is taken back from the rest.
    """
    assert ready.plan.continues is not None
    last: deque[Frames] = deque(maxlen=ready.plan.continues.overlap)
    with Reader(job) as reader:
        for picture in given(ready, reader):
            last.append(np.asarray(picture))
            yield last[-1]
    drift = Drift.between(np.stack(last), made)
    job.note(f"Colours drift where the new part begins: {drift.words}.")
    for frame in made[len(last) :]:
        yield drift.taken_back(frame)


def given(ready: Ready[Any], reader: Reader) -> Iterator[Image.Image]:
    """The frames of the clip that goes on, at the video's rate and size."""
    plan = ready.plan
    assert plan.continues is not None
    size = (plan.width, plan.height)
    for frame in reader.to_the_last(_clip(ready), plan.continues.slot, plan.fps, need=size):
        yield pictures.fit(frame, *size).image


def _clip(ready: Ready[Any]) -> MediaHandle:
    assert ready.plan.continues is not None
    return getattr(ready.request, ready.plan.continues.slot)
