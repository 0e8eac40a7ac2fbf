"""VACE as a Space of its own: control, inpaint, outpaint, extend and compose.

Run it with `.venv/bin/python spaces/vace/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

import spaces  # the ZeroGPU package; it must come before torch
from common.cache import results
from common.contract import Control, MediaHandle, Plan
from common.control import cache
from common.control.makers import Material, make
from common.control.put_back import put_back
from common.media import files
from common.media.write import write_video
from common.modes.vace import MODE, Request, submode_of
from common.panels.vace import VACEPanel
from common.run.service import Ready, Update
from common.runtime.engine import Carried
from common.runtime.job import Job, work
from common.runtime.joined import JoiningEngine
from common.runtime.reader import Reader
from common.runtime.sample.generate import Pictures
from common.settings import SpaceSettings
from common.space import build_space

CLOSER = 4
"""References are kept so many times larger than the output: a face is cut out of them and enlarged."""


class VACEEngine(JoiningEngine[Request]):
    """From a control that is made of the media, and that can be shown before."""

    mode = MODE
    pipeline = "WanVACEPipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """What the sub-mode makes of the request, each frame of exactly the asked size: others are misaligned.

        The control comes from the cache, or is made now: in the parent, before a GPU second is spent.
        """
        folder = kept_in(request, plan)
        if (control := cache.load(folder, reader.check)) is None:
            reader.stage(f"Making the control: {submode_of(request).label}")
            control = make(self.opened(request, plan, reader))
            cache.save(control, folder, plan.fps, reader.check)
        for text in control.notices:
            reader.note(text)
        return {
            "video": control.video,
            "mask": control.mask,
            "reference_images": control.references or None,
            "conditioning_scale": request.conditioning_scale,
            "put_back": control.kept and request.keep_source,
        }

    def make(self, pipe: Any, ready: Ready[Request], steps: int, job: Job) -> Pictures:
        """The pipeline's frames, with what the mask keeps as it was in the source."""
        given = dict(ready.inputs)
        whole = given.pop("put_back")
        frames = super().make(pipe, replace(ready, inputs=given), steps, job)
        return put_back(frames, given["video"], given["mask"]) if whole else frames

    def made_from(self, ready: Ready[Request]) -> str:
        return kept_in(ready.request, ready.plan).name

    def prepare(self, request: Request, plan: Plan) -> Generator[Update, None, Control]:
        """Control video, mask and references, made in the job's turn as `generate` makes them."""
        return (yield from self.turn(request, plan, self._shown))

    def opened(self, request: Request, plan: Plan, reader: Reader) -> Material:
        """The request's media as pictures, those that the sub-mode reads, no larger than it takes."""
        submode = submode_of(request)
        read = submode.fields(request.mask_source)
        need = (plan.width, plan.height)
        closer = (CLOSER * plan.width, CLOSER * plan.height)

        def clip(handle: MediaHandle | None, name: str, *, from_end: bool = False) -> list[Image.Image]:
            if handle is None or name not in read:
                return []
            if files.is_video(handle):
                return reader.clip(handle, name, plan.fps, plan.num_frames, need=need, from_end=from_end)
            return [(reader.mask if name == "mask" else reader.picture)(handle, name, need)]

        def mask() -> list[Image.Image]:
            given = clip(request.mask, "mask")
            return [ImageOps.invert(picture) for picture in given] if request.mask_invert else given

        def frame(handle: MediaHandle | None, name: str, moment: Any) -> Image.Image | None:
            return reader.frame(handle, name, moment, need) if handle is not None and name in read else None

        return Material(
            request, submode, plan.width, plan.height, plan.num_frames,
            video=clip(request.video, "video", from_end=submode.key in ("firstclip", "firstlastclip")),
            last_video=clip(request.last_video, "last_video"),
            mask=mask(),
            fps=plan.fps,
            references=[reader.picture(h, "reference_images", closer) for h in request.reference_images]
            if "reference_images" in read else [],
            image=frame(request.image, "image", request.image_from),
            middle_image=frame(request.middle_image, "middle_image", request.middle_image_from),
            last_image=frame(request.last_image, "last_image", request.last_image_from),
            device=self.backend.device if self.works_here else "cpu",  # else this process has no GPU
            download=self.settings.weights == "wan",
            say=reader.note,
            check=reader.check,
        )  # fmt: skip

    def _shown(self, ready: Ready[Request], job: Job) -> Generator[Update, None, Control]:
        return (yield from work(partial(written, ready), job))


def kept_in(request: Request, plan: Plan) -> Path:
    """The folder of a request's control, named after all that it is made from."""
    submode = submode_of(request)
    read = {*submode.fields(request.mask_source), "mask_source"}
    read |= {"image_from", "middle_image_from", "last_image_from"}
    read = (read | ({"mask_from", "mask_invert"} if "mask" in read else set())) - {"keep_source", "join"}
    files = {f"{slot.name}-{i}": handle.sha256
             for i, (slot, handle) in enumerate(MODE.media(request)) if slot.name in read}  # fmt: skip
    slots = {slot.name for slot in MODE.slots}
    values = request.model_dump(mode="json", include=read - slots)
    key = cache.key([submode.key, plan.width, plan.height, plan.num_frames, plan.fps, files, values])
    return results() / "prepared" / key


def written(ready: Ready[Request], job: Job) -> Control:
    """What `/prepare` hands out: the control as files."""
    folder = kept_in(ready.request, ready.plan)
    shown: dict[str, MediaHandle] = {}
    for name in ("video", "mask"):
        path = folder / f"{name}.mp4"
        if not path.is_file():
            frames = np.stack([np.asarray(f) for f in ready.inputs[name]])
            write_video(frames, ready.plan.fps, path, None)
        shown[name] = MediaHandle(path=str(path), mime="video/mp4")
    pictures = [folder / f"reference-{i}.png" for i in range(len(ready.inputs["reference_images"] or []))]
    references = [MediaHandle(path=str(p), mime="image/png") for p in pictures]
    return Control(**shown, reference_images=references, notices=job.notices)


service = VACEEngine(SpaceSettings.from_env())
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.duration, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


if TIER:
    service.on_gpu = generate
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service, VACEPanel)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
