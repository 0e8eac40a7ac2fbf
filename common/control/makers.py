"""What each VACE sub-mode is made of: the makers that `common/modes/submodes.py` names, as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from common.annotate import depth, detect, gray, masks, models, pose, raft
from common.annotate import flow as optical
from common.annotate.frames import (
    BLACK,
    GRAY,
    WHITE,
    Check,
    Control,
    Frame,
    Frames,
    fitted,
    repeated,
    unchecked,
    watched,
)
from common.annotate.scribble import scribble
from common.annotate.track import track_box, track_mask
from common.control import extension, layout, outpaint
from common.control.composition import composed
from common.control.references import cropped, references
from common.errors import InputError, StudioError
from common.modes import rules
from common.modes.submodes import SubMode
from common.modes.vace import Request, kept_frames, masked_frame, middle_frame

FACE_MARGIN = 0.2


@dataclass
class Material:
    """What a maker works on: opened media in their own shape, and how the result must look.

    They may have been scaled down, as long as they cover the result. `video` and `last_video` have the
    output's frame rate and are at most `num_frames` long; `mask` has one picture or as many as `video`.
    """

    request: Request
    submode: SubMode
    width: int
    height: int
    num_frames: int
    video: Frames = field(default_factory=list)
    last_video: Frames = field(default_factory=list)
    mask: Frames = field(default_factory=list)
    references: Frames = field(default_factory=list)
    image: Frame | None = None
    middle_image: Frame | None = None
    last_image: Frame | None = None
    fps: int = 16
    device: str = "cpu"
    download: bool = False
    say: Callable[[str], None] = lambda _: None
    notices: list[str] = field(default_factory=list)
    """Said of what is made, whenever it is used."""
    check: Check = unchecked

    @property
    def size(self) -> tuple[int, int]:
        """Width, height."""
        return self.width, self.height

    def own_size(self, slot: str) -> tuple[int, int]:
        """Width and height of the video or mask as it was given, before it was scaled down."""
        handle = getattr(self.request, slot)
        if handle is not None and handle.width and handle.height:
            return handle.width, handle.height
        return getattr(self, slot)[0].size

    @cached_property
    def soft(self) -> bool:
        """Whether the given mask says more than keep and make."""
        return any(masks.is_soft(picture) for picture in watched(self.mask, self.check))

    def model(self, key: str) -> Path:
        """The folder of an annotator's weights."""
        return models.find(key, download=self.download, say=self.say)


Maker = Callable[[Material], Control]


def make(material: Material) -> Control:
    """Control video, mask and references of a sub-mode, every picture of exactly the asked size."""
    control = MAKERS[material.submode.maker](material)
    control.notices += material.notices
    if not control.references:
        control.references = references(material.references, *material.size)
    for name, pictures in (("video", control.video), ("mask", control.mask)):
        wrong = {p.size for p in pictures} - {material.size}
        if wrong or len(pictures) != material.num_frames:
            # diffusers would run with a video of another size, and its control would lie beside the pixels.
            made = ", ".join(f"{width}x{height}" for width, height in sorted({p.size for p in pictures}))
            raise StudioError(
                f"{material.submode.label} made {len(pictures)} {name} frames of {made or 'no size'} where "
                f"{material.num_frames} of {material.width}x{material.height} are needed; this is a fault of Wan "
                "Studio: try another sub-mode, and please report it",
                title="The control does not fit",
            )
    return control


# ---------------------------------------------------------------------- sources


def _source(m: Material, fill: int = BLACK) -> Frames:
    """The source clip at the output's size; InputError where it is too short."""
    return _long_enough(
        fitted(watched(m.video, m.check), *m.size, fit=m.request.fit, fill=fill), m.num_frames, "video"
    )


def _long_enough(frames: Frames, count: int, name: str) -> Frames:
    rules.enough(len(frames), count, name)
    return frames[:count]


def _given_mask(m: Material) -> Frames:
    """The user's mask at the output's size, for every frame; it must have the shape of the video."""
    mask, video = m.own_size("mask"), m.own_size("video")
    theirs, ours = mask[0] / mask[1], video[0] / video[1]
    if mask != m.size and abs(theirs / ours - 1) > 0.03:
        raise InputError(
            "mask",
            "must have the shape of the video",
            got=f"{mask[0]}x{mask[1]} for {video[0]}x{video[1]}",
            hint="draw it on a frame of the video",
        )
    if mask == m.size and video != m.size:
        fit = [masks.hard(x) for x in watched(m.mask, m.check)]  # already made for the output
    else:
        scaled = (masks.resized(x, *m.video[0].size) for x in watched(m.mask, m.check))
        fit = [masks.hard(x) for x in fitted(scaled, *m.size, fit=m.request.fit, fill=WHITE)]
    if m.soft:
        m.notices.append(
            "mask has grays: it is split at one half, as the model knows only keep and make. Nothing of the source "
            "is put back."
        )
    if masks.is_full(fit):
        m.notices.append("mask is white all over: nothing of the source is kept.")
    if masks.is_empty(fit):
        raise InputError("mask", "has no white: nothing would change", hint="paint white what is made anew")
    if len(fit) == 1:
        return masks.same_everywhere(fit[0], m.num_frames)
    return _long_enough(fit, m.num_frames, "mask")


def found_masks(m: Material, frames: Frames) -> Frames:
    """A mask for each of `frames`, by the mask source in effect."""
    source = m.submode.source(m.request.mask_source)
    match source.key if source else "mask":
        case "mask":
            return _given_mask(m)
        case "bbox":
            return masks.same_everywhere(masks.from_box(_box(m), *m.size), len(frames))
        case "masktrack":
            number = masked_frame(m.request.mask_from, len(frames), m.fps)
            start = _given_mask(m)[number]
            if masks.is_empty([start]):
                raise InputError("mask", f"has no white in frame {number}, where it is tracked from")
            return track_mask(frames, start, m.model("sam2"), m.device, m.check, number)
        case "bboxtrack":
            return track_box(frames, masks.pixels(_box(m), *m.size), m.model("sam2"), m.device, m.check)
        case key:
            words = (m.request.label if key == "label" else m.request.caption) or ""
            box = detect.find_box(frames[0], words, m.model("grounding-dino"), m.device, key)
            return track_box(frames, box, m.model("sam2"), m.device, m.check)


def _box(m: Material) -> list[float]:
    assert m.request.bbox is not None  # the plan has checked
    return m.request.bbox


# ---------------------------------------------------------------------- makers


def plain(m: Material) -> Control:
    """The user's own control video, and mask if there is one."""
    video = _source(m, GRAY)
    if not m.mask:
        return Control(video, repeated(WHITE, m.num_frames, *m.size))
    return Control(video, _given_mask(m), kept=not m.soft)


def control(m: Material) -> Control:
    """A map of every frame; all of it is generated anew."""
    maps = _MAPS[m.submode.argument](m, _source(m))
    if m.submode.argument in ("flow", "raft") and masks.is_full(maps):
        m.notices.append("Nothing moves in video: its flow is empty, and the prompt alone decides.")
    return Control(maps, repeated(WHITE, m.num_frames, *m.size))


def inpaint(m: Material) -> Control:
    """The source with a hole."""
    frames = _source(m, GRAY)
    holes = [
        masks.grown(h, m.request.mask_shape, m.request.mask_grow)
        for h in watched(found_masks(m, frames), m.check)
    ]
    if m.request.fit == "pad":
        outside = outpaint.outward(m.video[:1], outpaint.Growth(), *m.size).mask[0]
        holes = [masks.either(h, outside) for h in holes]
    opened = [masks.filled(f, h) for f, h in zip(frames, holes, strict=True)]
    return Control(opened, holes, kept=not m.soft)


def outpaint_outward(m: Material) -> Control:
    """The source smaller, in a larger scene."""
    return outpaint.outward(_long_enough(m.video, m.num_frames, "video"), _growth(m), *m.size)


def outpaint_inward(m: Material) -> Control:
    """The source with new borders."""
    return outpaint.inward(_source(m, GRAY), _growth(m))


def _growth(m: Material) -> outpaint.Growth:
    r = m.request
    return outpaint.growth(r.expand_left, r.expand_right, r.expand_top, r.expand_bottom)


def extend(m: Material) -> Control:
    """Known frames at one or both ends."""
    begin, end = _ENDS[m.submode.argument](m)
    return extension.extended(_fit(m, begin), _fit(m, end), m.num_frames)


def _fit(m: Material, images: Frames) -> Frames:
    return fitted(images, *m.size, fit=m.request.fit, fill=GRAY)


def _tail(m: Material, clip: Frames) -> Frames:
    return clip[-kept_frames(m.request, m.num_frames) :]


def _head(m: Material, clip: Frames) -> Frames:
    return clip[: kept_frames(m.request, m.num_frames)]


def _picture(image: Frame | None) -> Frames:
    assert image is not None  # the plan has checked
    return [image]


_ENDS: Final[Mapping[str, Callable[[Material], tuple[Frames, Frames]]]] = {
    "firstframe": lambda m: (_picture(m.image), []),
    "lastframe": lambda m: ([], _picture(m.last_image)),
    "firstlastframe": lambda m: (_picture(m.image), _picture(m.last_image)),
    "firstclip": lambda m: (_tail(m, m.video), []),
    "lastclip": lambda m: ([], _head(m, m.video)),
    "firstlastclip": lambda m: (_tail(m, m.video), _head(m, m.last_video)),
}


def moments(m: Material) -> Control:
    """Three pictures at their moments."""
    numbers = (0, middle_frame(m.request, m.num_frames, m.fps), m.num_frames - 1)
    images = (_fit(m, _picture(image))[0] for image in (m.image, m.middle_image, m.last_image))
    return extension.placed(dict(zip(numbers, images, strict=True)), m.num_frames)


def keyframes(m: Material) -> Control:
    """Some frames of the source."""
    keep = m.request.keyframes or extension.default_keyframes(m.num_frames)
    return extension.keyframes(_source(m, GRAY), keep)


def from_references(m: Material) -> Control:
    """Nothing but pictures: gray video, all of it generated."""
    images = [_REFERENCES[m.submode.argument](m, i, image) for i, image in enumerate(m.references)]
    return Control(
        repeated(GRAY, m.num_frames, *m.size),
        repeated(WHITE, m.num_frames, *m.size),
        references(images, *m.size),
    )


def _subject(m: Material, index: int, image: Frame) -> Frame:
    source = m.submode.source(m.request.mask_source)
    match source.key if source else "whole":
        case "mask":  # one mask, for the first picture
            return masks.subject(image, masks.resized(m.mask[0], *image.size)) if index == 0 else image
        case "bbox":
            return cropped(image, m.request.bbox) if index == 0 else image
        case "label" | "caption" as key:
            words = (m.request.label if key == "label" else m.request.caption) or ""
            box = detect.find_box(image, words, m.model("grounding-dino"), m.device, key)
            return masks.subject(image, track_box([image], box, m.model("sam2"), m.device, m.check)[0])
        case _:
            return image


_REFERENCES: Final[Mapping[str, Callable[[Material, int, Frame], Frame]]] = {
    "whole": lambda m, index, image: image,
    "face": lambda m, index, image: cropped(image, m.request.bbox, FACE_MARGIN) if index == 0 else image,
    "subject": _subject,
}


def layout_bbox(m: Material) -> Control:
    """A box on its way."""
    assert m.request.bbox is not None and m.request.bbox_to is not None
    boxes = layout.moving_box(m.request.bbox, m.request.bbox_to, m.num_frames, *m.size)
    return Control(boxes, repeated(WHITE, m.num_frames, *m.size))


def layout_track(m: Material) -> Control:
    """The outline of something in the source."""
    found = found_masks(m, _source(m))
    return Control(layout.tracked_outline(found), repeated(WHITE, m.num_frames, *m.size))


def expand_anything(m: Material) -> Control:
    """A picture in a larger scene, then all open."""
    first = outpaint.outward(_picture(m.image), _growth(m), *m.size)
    rest = m.num_frames - 1
    return Control(
        [*first.video, *repeated(GRAY, rest, *m.size)], [*first.mask, *repeated(WHITE, rest, *m.size)]
    )


def move_anything(m: Material) -> Control:
    """A picture that stays as the first frame, then a box on its way."""
    return composed(extension.extended(_fit(m, _picture(m.image)), [], m.num_frames), layout_bbox(m))


_MAPS: Final[Mapping[str, Callable[[Material, Frames], Frames]]] = {
    "gray": lambda m, frames: gray.gray(frames, m.check),
    "scribble": lambda m, frames: scribble(frames, m.check),
    "flow": lambda m, frames: optical.dis_flow(frames, m.check),
    "raft": lambda m, frames: raft.raft_flow(frames, m.model("raft-large"), m.device, m.check),
    "dpt-hybrid": lambda m, frames: depth.depth(frames, m.model("dpt-hybrid"), m.device, m.check),
    "depth-anything": lambda m, frames: depth.depth(frames, m.model("depth-anything"), m.device, m.check),
    "body": lambda m, frames: pose.pose(frames, m.model("dwpose"), m.device, m.check, face=False),
    "body+face": lambda m, frames: pose.pose(frames, m.model("dwpose"), m.device, m.check),
}

MAKERS: Final[Mapping[str, Maker]] = {
    "plain": plain,
    "control": control,
    "inpaint": inpaint,
    "outpaint": outpaint_outward,
    "outpaint_inner": outpaint_inward,
    "extend": extend,
    "moments": moments,
    "keyframes": keyframes,
    "references": from_references,
    "layout_bbox": layout_bbox,
    "layout_track": layout_track,
    "expand_anything": expand_anything,
    "move_anything": move_anything,
}
