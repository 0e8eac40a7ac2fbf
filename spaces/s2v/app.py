"""S2V as a Space of its own: a picture speaks what is heard, clip after clip.

Run it with `.venv/bin/python spaces/s2v/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from PIL import Image

import spaces  # the ZeroGPU package; it must come before torch
from common.cache import results
from common.catalog import CHECKPOINTS
from common.contract import Plan
from common.driving import plain
from common.driving.kept import Driven
from common.media import pictures
from common.media.shelf import Shelf
from common.media.sound import SILENCE, Samples
from common.modes.s2v import MODE, Request
from common.panels.s2v import S2VPanel
from common.run.service import Ready
from common.runtime.engine import Carried
from common.runtime.job import Job
from common.runtime.model import weights
from common.runtime.model.hearing import Hearing
from common.runtime.reader import Reader
from common.runtime.sample.generate import Pictures
from common.runtime.segmented import SegmentedEngine
from common.runtime.spoken import Spoken, listen
from common.settings import SpaceSettings
from common.space import build_space
from common.speech import CLIPS, NANO_CLIPS, ClipLaw

VERSION = 1
"""Raise when a sound is heard differently: it belongs into the name of the folder."""


class S2VEngine(SegmentedEngine[Request]):
    """The sound is listened to first, on the CPU, and all of it at once; then clip after clip is made."""

    mode = MODE
    pipeline = "WanSpeechToVideoPipeline"

    def __init__(self, settings: SpaceSettings) -> None:
        super().__init__(settings)
        self.hearing = Hearing()

    @property
    def law(self) -> ClipLaw:
        """How clips follow one another, by the weights."""
        return NANO_CLIPS if self.settings.weights == "nano" else CLIPS

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """The speaker, and where lies what is heard and which poses are taken."""
        assert request.image is not None and request.audio is not None  # the plan has checked
        size = (plan.width, plan.height)
        picture = reader.frame(request.image, "image", request.image_from, size)
        found: dict[str, Any] = {"image": fitted(picture, size), "spoken": self.spoken(request, plan, reader)}
        if request.pose_video is not None:
            found["poses"] = self.poses(request, plan, reader)
        return found

    def carried(self, ready: Ready[Request]) -> int:
        return 0

    def seen(self, ready: Ready[Request]) -> int:
        return self.law.motion

    def made_from(self, ready: Ready[Request]) -> str:
        """Sound and poses lie in folders named after them; the speaker may have been cut from a clip."""
        poses = ready.inputs["poses"].folder.name if "poses" in ready.inputs else ""
        shown = hashlib.sha256(ready.inputs["image"].tobytes()).hexdigest()
        return key([ready.inputs["spoken"].folder.name, poses, shown])

    def make(self, pipe: Any, ready: Ready[Request], steps: int, job: Job) -> Pictures:
        """One clip: what is heard in it, and the frames made before it."""
        spoken: Spoken = ready.inputs["spoken"]
        poses: Driven | None = ready.inputs.get("poses")
        pipe.law = self.law
        given = {
            "image": ready.inputs["image"],
            "audio_embeds": spoken.hears(ready.segment),
            "tail": self.tail(ready),
            "pose_video": None,
        }
        if poses is not None:  # none of them where they have ended, which is not the same as without
            given["pose_video"] = poses.frames(plain.PART, self.law.driving(ready.segment, poses.count))
        return super().make(pipe, replace(ready, inputs=given), steps, job)

    def sound(self, ready: Ready[Request]) -> Samples:
        return ready.inputs["spoken"].heard()

    def unload(self) -> None:
        super().unload()
        self.hearing.forget()

    def spoken(self, request: Request, plan: Plan, reader: Reader) -> Spoken:
        """What the clips hear: kept from before, or listened to now."""
        assert request.audio is not None
        reader.stage("Listening to the sound")
        sound = reader.sound(request.audio, "audio")
        if sound.loudest < SILENCE:
            reader.note("audio is silent: nothing moves the speaker's lips.")
        checkpoint, kind = CHECKPOINTS[plan.checkpoint], self.settings.weights
        folder = results() / "prepared" / key([plan.num_frames, plan.checkpoint, kind, request.audio.sha256])
        say = None if self.backend.gpu_size else reader.note

        def ears() -> tuple[Any, Any]:
            encoder, processor = self.hearing.of(weights.resolve(checkpoint, kind, say))
            return encoder, processor

        return listen(sound, plan.num_frames, self.law, ears, Shelf(folder, reader.hold))

    def poses(self, request: Request, plan: Plan, reader: Reader) -> Driven:
        """The pose video in the shape of the video, on disk: a long one would not fit into memory."""
        assert request.pose_video is not None
        reader.stage("Reading the poses")
        size, clip = (plan.width, plan.height), request.pose_video
        read = reader.by_number(clip, "pose_video", plan.fps, need=size, each=partial(fitted, size=size))
        have = reader.length(clip, "pose_video", plan.fps)
        count = min(plan.num_frames, have)
        folder = results() / "prepared" / key([*size, count, plan.fps, clip.sha256])
        return plain.keep(read, count, plan.fps, size, folder, reader.check, reader.hold)


def key(recipe: Any) -> str:
    """A folder's name, after all that is made in it."""
    return hashlib.sha256(json.dumps([VERSION, recipe]).encode()).hexdigest()[:24]


def fitted(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A frame of exactly this size; what is cut off was said with the plan."""
    return pictures.fit(frame, *size).image


service = S2VEngine(SpaceSettings.from_env())
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.duration, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


if TIER:
    service.on_gpu = generate
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service, S2VPanel)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
