"""Animate as a Space of its own: a character does what somebody does in a driving video, or takes their place.

Run it with `.venv/bin/python spaces/animate/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

from PIL import Image

import spaces  # the ZeroGPU package; it must come before torch
from common.annotate.frames import letterbox
from common.cache import results
from common.catalog import CHECKPOINTS
from common.contract import MediaHandle, Performance, Plan
from common.driving import plain
from common.driving.kept import Driven, Read
from common.driving.makers import MAKERS, Means
from common.driving.material import Material
from common.driving.prepare import VERSION, prepare
from common.errors import InputError
from common.media import pictures
from common.modes.animate import MODE, Request, reads_pose, wanted
from common.panels.animate import AnimatePanel
from common.run.service import Ready, Update
from common.runtime.engine import Carried
from common.runtime.job import Job, work
from common.runtime.pipelines import animate2_job
from common.runtime.reader import Reader
from common.runtime.sample.generate import Pictures
from common.runtime.sample.going_on import going_on
from common.runtime.sample.segments import own_frames
from common.runtime.segmented import SegmentedEngine
from common.settings import SpaceSettings
from common.space import build_space

LOOKED_AT = 1280 * 720
"""Pixels of a frame in which a performer is looked for, at the most: hands and faces are small."""
FACE = (512, 512)
MAKERS_WORK_ON = "cpu"
"""ZeroGPU's parent has nothing else, and elsewhere the model has been planned to fill the card."""


class AnimateEngine(SegmentedEngine[Request]):
    """From a performance that is read of the driving video first, and that can be shown before."""

    mode = MODE
    pipeline = "WanAnimatePipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """The character, and where the frames of the performance lie: a long one would not fit into memory."""
        assert request.image is not None  # the plan has checked
        size = (plan.width, plan.height)
        picture = reader.frame(request.image, "image", request.image_from, size)
        if not reads_pose(CHECKPOINTS[plan.checkpoint]):
            reader.stage("Reading the driving video")
            return {"image": fitted(picture, size), "driven": self.as_it_is(request, plan, reader)}
        character = letterbox(picture, *size)
        driven = self.driven(request, plan, character, reader)
        for text in driven.notices:
            reader.note(text)
        return {"image": character, "driven": driven}

    def carried(self, ready: Ready[Request]) -> int:
        return ready.request.prev_segment_conditioning_frames

    def made_from(self, ready: Ready[Request]) -> str:
        """The performance's folder is named after its media; the character may have been cut from a clip."""
        return key([ready.inputs["driven"].folder.name, looks(ready.inputs["image"])])

    def make(self, pipe: Any, ready: Ready[Request], steps: int, job: Job) -> Pictures:
        """One segment: its own frames of the performance, and the last ones of the segment before."""
        request, plan = ready.request, ready.plan
        length, carried = plan.segments[ready.segment].frames, self.carried(ready)
        numbers = own_frames(ready.segment, plan.num_frames, length, carried)
        driven: Driven = ready.inputs["driven"]
        if not reads_pose(CHECKPOINTS[plan.checkpoint]):
            return animate2_job.make(
                pipe, self.mode.said(request), plan, job, segment=ready.segment, image=ready.inputs["image"],
                opening=driven.frames(plain.PART, [0])[0], driving=driven.frames(plain.PART, numbers),
                tail=self.tail(ready),
            )  # fmt: skip
        given: dict[str, Any] = {name: driven.frames(part_of(name), numbers) for name in wanted(request)}
        side = pipe.transformer.config.motion_encoder_size  # the pipeline would log a warning a segment
        given["face_video"] = [f.resize((side, side), Image.Resampling.LANCZOS) for f in given["face_video"]]
        given |= {
            "image": ready.inputs["image"],
            "mode": request.animate_mode,
            "segment_frame_length": length,
            "prev_segment_conditioning_frames": carried,
        }
        with going_on(pipe, self.tail(ready)):
            return super().make(pipe, replace(ready, inputs=given), steps, job)

    def prepare(self, request: Request, plan: Plan) -> Generator[Update, None, Performance]:
        """Pose, face, background and mask, made in the job's turn as `generate` makes them."""
        row = CHECKPOINTS[plan.checkpoint]
        if not reads_pose(row):
            raise InputError(
                "checkpoint", f"{row.name} has nothing to prepare: it looks at the driving video itself",
                hint="try wan2.2-animate-14b",
            )  # fmt: skip
        return (yield from self.turn(request, plan, self._shown))

    def driven(self, request: Request, plan: Plan, character: Image.Image, reader: Reader) -> Driven:
        """What the model is given of the driving video: kept from before, or made now, before the GPU."""
        own = {name: handle for name in wanted(request) if (handle := getattr(request, name)) is not None}
        maker = None
        if any(name not in own for name in wanted(request)):
            download = self.settings.weights == "wan"
            maker = MAKERS[self.maker(request)](Means(MAKERS_WORK_ON, download, reader.note))
        reader.stage("Reading the performance")
        size = (plan.width, plan.height)
        return prepare(
            Material(
                count=plan.num_frames, fps=plan.fps, width=plan.width, height=plan.height,
                frames=self.looked_at(request.video, plan, reader),
                reference=character,
                replace=request.animate_mode == "replace",
                retarget=request.retarget and request.animate_mode == "animate",
                maker=maker,
                given={
                    part_of(name): reader.by_number(
                        handle, name, plan.fps, need=(shape := FACE if name == "face_video" else size),
                        each=partial(fitted, size=shape),
                    )
                    for name, handle in own.items()
                },
                folder=self.kept_in(request, plan, character),
                say=reader.note,
                check=reader.check,
                hold=reader.hold,
            )
        )  # fmt: skip

    def maker(self, request: Request) -> str:
        """Who finds the performer: what the weights know, unless somebody chose."""
        if request.preprocessor != "auto":
            return request.preprocessor
        return "nano" if self.settings.weights == "nano" else "vitpose"

    def as_it_is(self, request: Request, plan: Plan, reader: Reader) -> Driven:
        """The driving video whole, with black beside it: Animate-2 looks at it itself."""
        assert request.video is not None  # the plan has checked
        size = (plan.width, plan.height)
        read = reader.by_number(request.video, "video", plan.fps, need=size, each=lambda f: letterbox(f, *size))
        folder = results() / "prepared" / key([*size, plan.num_frames, plan.fps, request.video.sha256])
        return plain.keep(read, plan.num_frames, plan.fps, size, folder, reader.check, reader.hold)

    def looked_at(self, video: MediaHandle | None, plan: Plan, reader: Reader) -> Read:
        """The driving video's frames in the output's shape, as large as makers are helped by."""
        if video is None:  # all is brought along that would be made of it
            return lambda _: iter(())
        width, height = video.width or plan.width, video.height or plan.height
        most = min(width / plan.width, height / plan.height, sqrt(LOOKED_AT / (plan.width * plan.height)))
        size = (round(plan.width * max(most, 1)), round(plan.height * max(most, 1)))
        return reader.by_number(video, "video", plan.fps, need=size, each=partial(fitted, size=size))

    def kept_in(self, request: Request, plan: Plan, character: Image.Image) -> Path:
        """The folder of a performance, named after all that it follows from."""
        media = {slot.name: handle.sha256 for slot, handle in MODE.media(request) if slot.name != "image"}
        retarget = request.retarget and request.animate_mode == "animate"
        shown = looks(character) if retarget else ""
        made = [plan.width, plan.height, plan.num_frames, plan.fps, request.animate_mode, self.maker(request)]
        return results() / "prepared" / key([made, shown, media])

    def _shown(self, ready: Ready[Request], job: Job) -> Generator[Update, None, Performance]:
        return (yield from work(partial(written, ready), job))


def part_of(name: str) -> str:
    """What a field's video is called where it is prepared."""
    return name.removesuffix("_video")


def key(recipe: Any) -> str:
    """A folder's name, after all that is made in it."""
    return hashlib.sha256(json.dumps([VERSION, recipe], sort_keys=True).encode()).hexdigest()[:24]


def looks(picture: Image.Image) -> str:
    """A name for a picture, by its pixels."""
    return hashlib.sha256(picture.tobytes()).hexdigest()


def fitted(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A frame of exactly this size; what is cut off was said with the plan."""
    return pictures.fit(frame, *size).image


def written(ready: Ready[Request], job: Job) -> Performance:
    """What `/prepare` hands out: the performance as clips."""
    driven: Driven = ready.inputs["driven"]
    job.stage("prepare", "Writing the clips")
    paths = {name: driven.clip(part_of(name), job.check) for name in wanted(ready.request)}
    clips = {name: MediaHandle(path=str(path), mime="video/mp4") for name, path in paths.items()}
    return Performance(**clips, notices=job.notices)


service = AnimateEngine(SpaceSettings.from_env())
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.duration, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


if TIER:
    service.on_gpu = generate
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service, AnimatePanel)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
